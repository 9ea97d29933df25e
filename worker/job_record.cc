#include "worker/job_record.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <sstream>

#include "core/base/error.h"
#include "proto/job.pb.h"
#include "worker/job_components.h"
#include "worker/job_text.h"
#include "worker/model_text.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;

const std::string kKey = "callback/job";
const std::string kModelKey = "callback/model";  // of record_model()
constexpr std::string_view kFact = "# ";         // a comment to the text format
constexpr size_t kShown = 60;                    // of a value

// What of the cluster and the data belongs to the run as much as the job file does.
std::map<std::string, std::string> facts_of(const Task& task) {
  return {{"strategy", std::string(task.strategy_def->name)},
          {"workers", std::to_string(task.cluster.world_size)},
          {"training examples", std::to_string(task.train_examples())},
          {"steps of an epoch", std::to_string(task.steps_per_epoch)}};
}

// With all defaults, so that what means the same is the same.
std::unique_ptr<pb::Message> comparable(const JobSchema& schema, const pb::Message& job) {
  std::unique_ptr<pb::Message> full = with_defaults(schema, job);
  for (const char* const unrelated : {"name", "output_dir", "checkpoint", "gpu", "strategy"}) {
    full->GetReflection()->ClearField(full.get(),
                                      full->GetDescriptor()->FindFieldByName(unrelated));
  }
  const auto* const model = full->GetDescriptor()->FindFieldByName("model");
  pb::Message& layers = *full->GetReflection()->MutableMessage(full.get(), model);
  layers.GetReflection()->ClearField(&layers, layers.GetDescriptor()->FindFieldByName("inputs"));
  return full;
}

std::string text_of(const Task& task) {
  std::string text;
  for (const auto& [name, value] : facts_of(task)) text += str_cat(kFact, name, ": ", value, "\n");
  // Not compared: for people who are given the model.
  std::string data = task.data.description;
  std::ranges::replace(data, '\n', ' ');
  text +=
      str_cat(kFact, "data: ", data, "\n", kFact, "precision: ", task.file.job().precision(), "\n");
  const auto job = comparable(task.file.schema(), task.file.message());
  job->GetReflection()->SetString(job.get(), job->GetDescriptor()->FindFieldByName("name"),
                                  task.file.job().name());
  std::vector<TensorType> features;
  for (const Value& feature : task.model->inference().features) features.push_back(feature.type());
  set_inputs(features, *job);
  std::string fields;
  pb::TextFormat::PrintToString(*job, &fields);
  return text + fields;
}

std::optional<std::string> text_at(const nn::StateMap& state, const std::string& key) {
  const auto found = state.find(key);
  if (found == state.end() || found->second.dtype() != DType::kString ||
      found->second.elements() != 1) {
    return std::nullopt;
  }
  return found->second.flat<std::string>()[0];
}

// The end of what is long is where it differs, more often than not.
std::string shown(const std::string& text) {
  if (text.empty()) return "none";
  return text.size() > kShown ? "… " + text.substr(text.size() - kShown) : text;
}

// One value of a field; of a component its name, as in a job file.
std::string value_of(const pb::Message& message, const pb::FieldDescriptor* field, int index) {
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
    const pb::Message& part = message.GetReflection()->GetRepeatedMessage(message, field, index);
    const pb::OneofDescriptor* const kind = kind_of(*part.GetDescriptor());
    const auto* const chosen =
        kind == nullptr ? nullptr : part.GetReflection()->GetOneofFieldDescriptor(part, kind);
    std::string name = chosen == nullptr ? "none" : chosen->name();
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return name;
  }
  pb::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintFieldValueToString(message, field, index, &text);
  while (text.ends_with(' ') || text.ends_with('\n')) text.pop_back();
  return text;
}

class Comparison {
 public:
  explicit Comparison(std::vector<JobDifference>& found) : found_(found) {}

  void messages(const pb::Message& then, const pb::Message& now, const std::string& prefix) {
    const pb::Descriptor& type = *then.GetDescriptor();
    for (int i = 0; i < type.oneof_decl_count(); ++i) choice(then, now, type.oneof_decl(i), prefix);
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor* field = type.field(i);
      const pb::OneofDescriptor* choice = field->real_containing_oneof();
      // Of a choice that is another now, choice() says that.
      if (choice != nullptr && (chosen(then, choice) != field || chosen(now, choice) != field)) {
        continue;
      }
      field->is_repeated() ? lists(then, now, field, prefix) : values(then, now, field, prefix);
    }
  }

 private:
  void add(const std::string& field, const std::string& then, const std::string& now) {
    found_.push_back({field, shown(then), shown(now)});
  }

  static const pb::FieldDescriptor* chosen(const pb::Message& message,
                                           const pb::OneofDescriptor* choice) {
    return message.GetReflection()->GetOneofFieldDescriptor(message, choice);
  }

  void choice(const pb::Message& then, const pb::Message& now, const pb::OneofDescriptor* choice,
              const std::string& prefix) {
    if (choice->is_synthetic()) return;
    const auto* before = chosen(then, choice);
    const auto* after = chosen(now, choice);
    if (before == after) return;
    const auto name = [](const pb::FieldDescriptor* field) {
      return field == nullptr ? std::string("none") : field->name();
    };
    add(prefix + choice->name(), name(before), name(after));
  }

  void values(const pb::Message& then, const pb::Message& now, const pb::FieldDescriptor* field,
              const std::string& prefix) {
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      messages(then.GetReflection()->GetMessage(then, field),
               now.GetReflection()->GetMessage(now, field), prefix + field->name() + ".");
      return;
    }
    const std::string before = value_of(then, field, -1), after = value_of(now, field, -1);
    if (before != after) add(prefix + field->name(), before, after);
  }

  void lists(const pb::Message& then, const pb::Message& now, const pb::FieldDescriptor* field,
             const std::string& prefix) {
    const int before = then.GetReflection()->FieldSize(then, field);
    const int after = now.GetReflection()->FieldSize(now, field);
    if (before != after) {
      const auto all = [&](const pb::Message& message, int size) {
        std::string text;
        for (int i = 0; i < size; ++i) text += (i > 0 ? ", " : "") + value_of(message, field, i);
        return text;
      };
      const bool counts = field->name() == "layers";  // their names would be too many
      add(prefix + field->name(), counts ? str_cat(before) : all(then, before),
          counts ? str_cat(after) : all(now, after));
      return;
    }
    for (int i = 0; i < before; ++i) {
      const std::string path = str_cat(prefix, field->name(), "[", i, "]");
      if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        messages(then.GetReflection()->GetRepeatedMessage(then, field, i),
                 now.GetReflection()->GetRepeatedMessage(now, field, i), path + ".");
        continue;
      }
      const std::string old_value = value_of(then, field, i), new_value = value_of(now, field, i);
      if (old_value != new_value) add(path, old_value, new_value);
    }
  }

  std::vector<JobDifference>& found_;
};

}  // namespace

JobRecord::JobRecord(const Task& task) : text_(text_of(task)) {}

void JobRecord::save(nn::StateMap& state) const {
  state[kKey] = Tensor::scalar<std::string>(text_);
}

std::optional<std::string> recorded_job(const nn::StateMap& state) {
  std::optional<std::string> text = text_at(state, kKey);
  return text ? text : text_at(state, kModelKey);
}

void record_model(const std::string& text, nn::StateMap& state) {
  state[kModelKey] = Tensor::scalar<std::string>(text);
}

std::map<std::string, std::string> recorded_facts(const std::string& text) {
  std::map<std::string, std::string> facts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && line.starts_with(kFact);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    facts[line.substr(kFact.size(), colon - kFact.size())] = line.substr(colon + 2);
  }
  return facts;
}

bool is_recorded_model(const nn::StateMap& state) { return state.contains(kModelKey); }

std::optional<std::vector<JobDifference>> compare_with_record(const Task& task,
                                                              const nn::StateMap& state) {
  const std::optional<std::string> recorded = text_at(state, kKey);
  if (!recorded) return std::nullopt;
  const std::string& text = *recorded;
  std::vector<JobDifference> differences;
  const auto facts = facts_of(task);
  for (const auto& [name, then] : recorded_facts(text)) {
    const auto now = facts.find(name);
    if (now != facts.end() && now->second != then) {
      differences.push_back({now->first, then, now->second});
    }
  }
  const JobSchema& schema = task.file.schema();
  const std::unique_ptr<pb::Message> then = schema.new_job();
  try {
    parse_job_text(schema, text, {.name = kKey, .skips_unknown = true}, *then);
  } catch (const Error&) {
    return std::nullopt;
  }
  choose_defaults(schema, *then);
  Comparison(differences)
      .messages(*comparable(schema, *then), *comparable(schema, task.file.message()), "");
  return differences;
}

}  // namespace trireme
