#include "worker/job_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/nn/precision.h"
#include "proto/job.pb.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using job::Job;
using job::Model;
using job::Optimizer;

// Keeps the first error; protobuf counts lines and columns from 0.
class FirstError : public pb::io::ErrorCollector {
 public:
  explicit FirstError(std::string file) : file_(std::move(file)) {}
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ = line < 0 ? file_ + ": " + message
                     : str_cat(file_, ":", line + 1, ":", column + 1, ": ", message);
  }
  void AddWarning(int, int, const std::string&) override {}
  const std::string& text() const { return text_; }

 private:
  std::string file_, text_;
};

std::string fields_of(const pb::Descriptor& type) {
  std::string names;
  for (int i = 0; i < type.field_count(); ++i) names += (i > 0 ? ", " : "") + type.field(i)->name();
  return names;
}

// One step of an override's path: "layers[2]" is {"layers", 2}.
struct PathStep {
  std::string field;
  int index = -1;
};

std::vector<PathStep> parse_path(const std::string& path, const std::string& override_text) {
  std::vector<PathStep> steps;
  std::stringstream stream(path);
  for (std::string part; std::getline(stream, part, '.');) {
    PathStep step{part};
    if (const size_t open = part.find('['); open != std::string::npos) {
      step.field = part.substr(0, open);
      const char* begin = part.data() + open + 1;
      const auto [end, error] = std::from_chars(begin, part.data() + part.size(), step.index);
      if (error != std::errc() || end + 1 != part.data() + part.size() || *end != ']' ||
          step.index < 0) {
        throw invalid_argument("--set ", override_text, ": expected a number in brackets, found '",
                               part, "'");
      }
    }
    steps.push_back(step);
  }
  return steps;
}

// Follows the path to the message that holds the last field, making messages on the way.
void apply_override(pb::Message& root, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw invalid_argument("--set ", text,
                           ": expected path=value, e.g. --set optimizer.learning_rate=0.1");
  }
  const std::vector<PathStep> steps = parse_path(text.substr(0, equals), text);
  const std::string value = text.substr(equals + 1);
  pb::Message* message = &root;
  for (size_t i = 0; i < steps.size(); ++i) {
    const PathStep& step = steps[i];
    const pb::FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(step.field);
    if (field == nullptr) {
      throw invalid_argument("--set ", text, ": ", message->GetDescriptor()->name(),
                             " has no field '", step.field, "'; it has ",
                             fields_of(*message->GetDescriptor()));
    }
    const pb::Reflection& reflection = *message->GetReflection();
    const bool last = i + 1 == steps.size();
    if (step.index >= 0) {
      const int size = field->is_repeated() ? reflection.FieldSize(*message, field) : 0;
      if (step.index >= size) {
        throw invalid_argument("--set ", text, ": '", step.field, "' has ", size, " elements");
      }
    }
    const bool is_message = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
    if (!last) {
      if (!is_message || (field->is_repeated() && step.index < 0)) {
        throw invalid_argument("--set ", text, ": '", step.field, "' ",
                               is_message
                                   ? "is a list: say which element, e.g. " + step.field + "[0]"
                                   : "has no fields");
      }
      message = field->is_repeated() ? reflection.MutableRepeatedMessage(message, field, step.index)
                                     : reflection.MutableMessage(message, field);
      continue;
    }
    if (field->is_repeated()) reflection.ClearField(message, field);
    FirstError errors("--set " + text);
    pb::TextFormat::Parser parser;
    parser.RecordErrorsTo(&errors);
    // Parsed as it would stand in the file; a string need not be quoted on the command line.
    const bool quote =
        field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING && !value.starts_with('"');
    const std::string line = is_message
                                 ? field->name() + " { " + value + " }"
                                 : field->name() + ": " + (quote ? "\"" + value + "\"" : value);
    if (!parser.MergeFromString(line, message)) {
      std::string reason = errors.text();
      throw invalid_argument(
          "--set ", text, ": '", value, "' is no ",
          is_message ? field->message_type()->name() : std::string(field->cpp_type_name()), " (",
          reason.substr(reason.rfind(": ") + 2), ")");
    }
  }
}

void require(bool condition, const std::string& file, std::string_view expectation) {
  if (!condition) throw invalid_argument(file, ": ", expectation);
}

void fill_defaults_and_check(Job& job, const std::string& file) {
  require(job.has_data() && job.data().source_case() != job::Data::SOURCE_NOT_SET, file,
          "expected a data source; add e.g. data { digits {} }");
  require(job.has_model() && job.model().layers_size() > 0, file,
          "expected a model with layers; add e.g. model { layers { flatten {} } layers { dense { "
          "units: 10 } } }");
  require(job.epochs() >= 0 && job.batch_size() >= 0 && job.steps_per_epoch() >= 0, file,
          "epochs, batch_size and steps_per_epoch must not be negative");
  if (job.epochs() == 0) job.set_epochs(1);
  if (job.batch_size() == 0) job.set_batch_size(128);
  if (job.seed() == 0) job.set_seed(1);
  if (job.name().empty()) job.set_name(std::filesystem::path(file).stem().string());
  if (job.output_dir().empty()) job.set_output_dir("runs/" + job.name());
  Optimizer& optimizer = *job.mutable_optimizer();
  if (optimizer.kind_case() == Optimizer::KIND_NOT_SET) optimizer.mutable_sgd();
  require(optimizer.learning_rate() >= 0, file, "optimizer.learning_rate must not be negative");
  if (optimizer.learning_rate() == 0)
    optimizer.set_learning_rate(optimizer.has_sgd() ? 0.01 : 0.001);
  if (job.checkpoint().keep() == 0) job.mutable_checkpoint()->set_keep(3);
  require(job.checkpoint().keep() > 0 && job.checkpoint().every_steps() >= 0, file,
          "checkpoint.keep must be positive and checkpoint.every_steps must not be negative");
  for (int metric : job.metrics()) {
    require(metric != job::METRIC_UNSPECIFIED, file, "expected a metric, found METRIC_UNSPECIFIED");
  }
}

// Where each field of the text stands, by the path that an override would name it with.
void note_positions(const pb::Descriptor& type, const pb::TextFormat::ParseInfoTree& tree,
                    const std::string& prefix, std::map<std::string, std::pair<int, int>>& places) {
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor* const field = type.field(i);
    for (int index = field->is_repeated() ? 0 : -1;; ++index) {
      const auto at = tree.GetLocation(field, index);
      if (at.line < 0) break;
      const std::string path = prefix + field->name() + (index < 0 ? "" : str_cat("[", index, "]"));
      places[path] = {at.line + 1, at.column + 1};
      const auto* nested = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE
                               ? tree.GetTreeForNested(field, index)
                               : nullptr;
      if (nested != nullptr) note_positions(*field->message_type(), *nested, path + ".", places);
      if (index < 0) break;
    }
  }
}

// The one name of several that workers compare.
std::string precision_name(const JobFile& file) {
  const std::string& given = file.job().precision();
  try {
    return std::string(
        name(given.empty() ? nn::Precision::kFloat32 : nn::precision_from_name(given)));
  } catch (const Error& error) {
    throw Error(error.code(), file.where("precision") + error.what());
  }
}

// What does not go together, whatever the strategy turns out to be.
void check_parameter_servers(const JobFile& file) {
  const job::ParameterServers& servers = file.job().parameter_servers();
  const auto require = [&](bool condition, const std::string& field, std::string_view expectation) {
    if (condition) return;
    const std::string path = "parameter_servers." + field;
    throw invalid_argument(file.where(path), path, ": ", expectation);
  };
  const auto any = [&](job::Consistency consistency) {
    return servers.dense() == consistency || servers.sparse() == consistency;
  };
  require(servers.staleness() >= 0, "staleness", "expected steps, found a negative number");
  require(servers.staleness() > 0 || !any(job::BOUNDED),
          servers.dense() == job::BOUNDED ? "dense" : "sparse",
          "BOUNDED needs a bound; add e.g. staleness: 4");
  require(servers.staleness() == 0 || any(job::BOUNDED), "staleness",
          "is of consistency BOUNDED; set dense or sparse to it");
  require(servers.backup_workers() >= 0, "backup_workers", "must not be negative");
  require(servers.backup_workers() == 0 || any(job::SYNC), "backup_workers",
          "are of consistency SYNC: in the others nobody waits for a slow worker's gradients");
  require(servers.cache_staleness() >= 0, "cache_staleness", "must not be negative");
  require(servers.cache_staleness() == 0 || servers.sparse() != job::SYNC, "cache_staleness",
          "with sparse: SYNC no row may be older than the last step; set sparse to BOUNDED or "
          "ASYNC");
  require(servers.cache_staleness() <= servers.staleness() || servers.sparse() != job::BOUNDED,
          "cache_staleness", "must not be more than staleness");
  require(servers.connections() >= 0, "connections", "must not be negative");
  require(servers.timeout_s() >= 0, "timeout_s", "must not be negative");
  require(file.job().strategy() != job::HYBRID || servers.dense() == job::SYNC, "dense",
          "strategy HYBRID all-reduces the gradients of variables, which is SYNC");
}

}  // namespace

JobFile::JobFile() : job_(std::make_unique<Job>()) {}
JobFile::JobFile(JobFile&&) noexcept = default;
JobFile::~JobFile() = default;

JobFile JobFile::parse(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides) {
  JobFile file;
  file.path_ = name;
  FirstError errors(name);
  pb::TextFormat::ParseInfoTree positions;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&positions);
  parser.SetRecursionLimit(20);  // a Job is not deep; hostile text may be
  if (!parser.ParseFromString(text, file.job_.get())) {
    throw invalid_argument(errors.text().empty() ? name + ": is no job" : errors.text());
  }
  note_positions(*Job::descriptor(), positions, "", file.positions_);
  for (const std::string& text_override : overrides) apply_override(*file.job_, text_override);
  fill_defaults_and_check(*file.job_, name);
  file.job_->set_precision(precision_name(file));
  check_parameter_servers(file);
  return file;
}

JobFile JobFile::read(const std::string& path, const std::vector<std::string>& overrides) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw invalid_argument(path, ": expected a job file, found a directory");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) throw not_found(path, ": there is no such job file");
  constexpr size_t kMaxBytes = 16 << 20;
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (text.size() > kMaxBytes) throw invalid_argument(path, ": a job file has at most 16 MiB");
  return parse(text, path, overrides);
}

std::string JobFile::where(const std::string& field) const {
  const auto found = positions_.find(field);
  if (found == positions_.end()) return path_ + ": ";
  return str_cat(path_, ":", found->second.first, ":", found->second.second, ": ");
}

std::string JobFile::where_layer(int index) const {
  return where(str_cat("model.layers[", index, "]"));
}

}  // namespace trireme
