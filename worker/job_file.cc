#include "worker/job_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/data/line_reader.h"
#include "core/nn/catalogs.h"
#include "core/nn/precision.h"
#include "proto/job.pb.h"
#include "worker/field_setter.h"
#include "worker/job_components.h"
#include "worker/job_text.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using job::Job;

const pb::FieldDescriptor& field_named(const pb::Message& message, const std::string& name) {
  const auto* const field = message.GetDescriptor()->FindFieldByName(name);
  TRIREME_CHECK(field != nullptr, "a job has no field '", name, "'");
  return *field;
}
const pb::Message& part(const pb::Message& message, const std::string& name) {
  return message.GetReflection()->GetMessage(message, &field_named(message, name));
}
void set_text(pb::Message& message, const std::string& name, const std::string& text) {
  message.GetReflection()->SetString(&message, &field_named(message, name), text);
}

bool has_outputs(const pb::Message& job) {
  return job.GetReflection()->FieldSize(job, &field_named(job, "outputs")) > 0;
}

bool names_kind(const pb::Message& family) {
  const pb::OneofDescriptor* const kind = kind_of(*family.GetDescriptor());
  return kind != nullptr && family.GetReflection()->HasOneof(family, kind);
}

// Whether `path` is `of` or a field or an element of it.
bool is_below(const std::string& path, const std::string& of) {
  return path.starts_with(of) &&
         (path.size() == of.size() || path[of.size()] == '.' || path[of.size()] == '[');
}

// The one name of several that workers compare.
std::string precision_name(const JobFile& file, const std::string& given) {
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
  require(servers.staleness() > 0 || !any(job::BOUNDED),
          servers.dense() == job::BOUNDED ? "dense" : "sparse",
          "BOUNDED needs a bound; add e.g. staleness: 4");
  require(servers.staleness() == 0 || any(job::BOUNDED), "staleness",
          "is of consistency BOUNDED; set dense or sparse to it");
  require(servers.backup_workers() == 0 || any(job::SYNC), "backup_workers",
          "are of consistency SYNC: in the others nobody waits for a slow worker's gradients");
  require(servers.cache_staleness() == 0 || servers.sparse() != job::SYNC, "cache_staleness",
          "with sparse: SYNC no row may be older than the last step; set sparse to BOUNDED or "
          "ASYNC");
  require(servers.cache_staleness() <= servers.staleness() || servers.sparse() != job::BOUNDED,
          "cache_staleness", "must not be more than staleness");
  require(file.job().strategy() != job::HYBRID || servers.dense() == job::SYNC, "dense",
          "strategy HYBRID all-reduces the gradients of variables, which is SYNC");
}

template <typename T>
std::unique_ptr<T> read_one(const JobFile& file, const pb::Message& message,
                            const std::string& path) {
  auto component = read_component(file.schema(), message, path,
                                  [&](const std::string& field) { return file.where(field); });
  return std::unique_ptr<T>(dynamic_cast<T*>(component.release()));
}

// Those of a list at `path`, a field of `message`.
template <typename T>
std::vector<std::unique_ptr<T>> read_list(const JobFile& file, const pb::Message& message,
                                          const std::string& field, const std::string& prefix) {
  std::vector<std::unique_ptr<T>> components;
  const pb::FieldDescriptor& list = field_named(message, field);
  const int size = message.GetReflection()->FieldSize(message, &list);
  for (int i = 0; i < size; ++i) {
    components.push_back(read_one<T>(file,
                                     message.GetReflection()->GetRepeatedMessage(message, &list, i),
                                     str_cat(prefix, field, "[", i, "]")));
  }
  return components;
}

}  // namespace

JobFile::JobFile(std::shared_ptr<const JobSchema> schema)
    : schema_(std::move(schema)), message_(schema_->new_job()), frame_(std::make_unique<Job>()) {}
JobFile::JobFile(JobFile&&) noexcept = default;
JobFile::~JobFile() = default;

JobFile JobFile::parse(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides,
                       const std::vector<JobOption>& options,
                       std::shared_ptr<const JobSchema> schema) {
  JobFile file(std::move(schema));
  file.path_ = name;
  parse_job_text(*file.schema_, text, {.name = name, .places = &file.positions_}, *file.message_);
  for (const std::string& set : overrides) file.apply(JobOverride(set));
  for (const JobOption& option : options) file.apply(JobOverride(option));
  check_values(*file.message_, [&](const std::string& path) { return file.where(path); });
  file.make_frame();
  check_parameter_servers(file);
  file.make_components();
  return file;
}

JobFile JobFile::read(const std::string& path, const std::vector<std::string>& overrides,
                      const std::vector<JobOption>& options,
                      std::shared_ptr<const JobSchema> schema) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  if (kind_of_file(path) == "nothing") throw not_found(path, ": there is no such job file");
  return parse(data::read_text(path, kMaxBytes, "a job file"), path, overrides, options,
               std::move(schema));
}

void JobFile::apply(const JobOverride& override_) {
  override_.apply(*schema_, *message_);
  const std::string& path = override_.path();
  // What stood there, and below it, stands there no longer, unless something was added to it.
  if (!override_.adds()) {
    std::erase_if(positions_, [&](const auto& place) { return is_below(place.first, path); });
    std::erase_if(origins_, [&](const auto& origin) { return is_below(origin.first, path); });
  }
  origins_[path] = override_.shown();
}

void JobFile::make_frame() {
  const auto text = [&](const char* name) {
    return message_->GetReflection()->GetString(*message_, &field_named(*message_, name));
  };
  if (text("name").empty()) {
    set_text(*message_, "name", std::filesystem::path(path_).stem().string());
  }
  if (text("output_dir").empty()) set_text(*message_, "output_dir", "runs/" + text("name"));
  set_text(*message_, "precision", precision_name(*this, text("precision")));
  const std::unique_ptr<pb::Message> frame(message_->New());
  frame->CopyFrom(*message_);
  for (int i = 0; i < message_->GetDescriptor()->field_count(); ++i) {
    const pb::FieldDescriptor* const field = message_->GetDescriptor()->field(i);
    const bool in_frame = Job::descriptor()->FindFieldByNumber(field->number()) != nullptr;
    if (!in_frame) frame->GetReflection()->ClearField(frame.get(), field);
  }
  TRIREME_CHECK(frame_->ParseFromString(frame->SerializeAsString()), "the frame of a job");
}

void JobFile::make_components() {
  const auto require = [&](bool condition, std::string_view expectation) {
    if (!condition) throw invalid_argument(path_, ": ", expectation);
  };
  require(names_kind(part(*message_, "data")),
          "expected a data source; add e.g. data { digits {} }");
  const pb::Message& model = part(*message_, "model");
  require(model.GetReflection()->FieldSize(model, &field_named(model, "layers")) > 0,
          "expected a model with layers; add e.g. model { layers { flatten {} } layers { dense { "
          "units: 10 } } }");
  choose_defaults(*schema_, *message_);
  data_ = read_one<data::Source>(*this, part(*message_, "data"), "data");
  if (has_outputs(*message_)) {
    make_outputs();
  } else {
    loss_ = read_one<nn::LossOptions>(*this, part(*message_, "loss"), "loss");
    metrics_ = read_list<nn::MetricOptions>(*this, *message_, "metrics", "");
    weighted_metrics_ = read_list<nn::MetricOptions>(*this, *message_, "weighted_metrics", "");
  }
  // The others are made when they are wanted; what is wrong with them is said now.
  (void)make_layers();
  (void)make_optimizer();
  (void)make_callbacks();
}

void JobFile::make_outputs() {
  for (const char* const field : {"loss", "metrics", "weighted_metrics"}) {
    const pb::FieldDescriptor& known = field_named(*message_, field);
    const pb::Reflection& reflection = *message_->GetReflection();
    const bool is_there = known.is_repeated() ? reflection.FieldSize(*message_, &known) > 0
                                              : names_kind(part(*message_, field));
    if (!is_there) continue;
    throw invalid_argument(where(known.is_repeated() ? str_cat(field, "[0]") : field), field,
                           ": is of a job with a single loss; write it within `outputs`");
  }
  const pb::FieldDescriptor& list = field_named(*message_, "outputs");
  const int size = message_->GetReflection()->FieldSize(*message_, &list);
  for (int i = 0; i < size; ++i) {
    const pb::Message& message = message_->GetReflection()->GetRepeatedMessage(*message_, &list, i);
    const pb::Reflection& reflection = *message.GetReflection();
    const std::string path = str_cat("outputs[", i, "]");
    const auto text = [&](const char* name) {
      return reflection.GetString(message, &field_named(message, name));
    };
    if (!names_kind(part(message, "loss"))) {
      throw invalid_argument(where(path), path,
                             ": expected a loss; add e.g. loss: MEAN_SQUARED_ERROR");
    }
    JobOutput output{
        .layer = text("layer"),
        .loss = read_one<nn::LossOptions>(*this, part(message, "loss"), path + ".loss"),
        .weight = reflection.GetDouble(message, &field_named(message, "weight")),
        .metrics = read_list<nn::MetricOptions>(*this, message, "metrics", path + "."),
        .weighted_metrics =
            read_list<nn::MetricOptions>(*this, message, "weighted_metrics", path + "."),
        .labels = text("labels")};
    if (output.layer.empty()) {
      throw invalid_argument(where(path), path,
                             ": expected the name of a layer; add e.g. layer: "
                             "\"price\"");
    }
    if (!loss_ && output.labels.empty()) loss_ = output.loss;
    outputs_.push_back(std::move(output));
  }
  if (!loss_) loss_ = outputs_.front().loss;
}

std::vector<std::unique_ptr<nn::Layer>> JobFile::make_layers() const {
  return read_list<nn::Layer>(*this, part(*message_, "model"), "layers", "model.");
}

std::unique_ptr<nn::Optimizer> JobFile::make_optimizer() const {
  return read_one<nn::Optimizer>(*this, part(*message_, "optimizer"), "optimizer");
}

std::vector<std::unique_ptr<nn::Callback>> JobFile::make_callbacks() const {
  return read_list<nn::Callback>(*this, *message_, "callbacks", "");
}

std::optional<double> JobFile::number(const std::string& field) const {
  const pb::Message* message = message_.get();
  size_t begin = 0;
  for (size_t dot; (dot = field.find('.', begin)) != std::string::npos; begin = dot + 1) {
    const pb::FieldDescriptor& nested = field_named(*message, field.substr(begin, dot - begin));
    if (!message->GetReflection()->HasField(*message, &nested)) return std::nullopt;
    message = &message->GetReflection()->GetMessage(*message, &nested);
  }
  const pb::FieldDescriptor& wanted = field_named(*message, field.substr(begin));
  const pb::Reflection& reflection = *message->GetReflection();
  return wanted.cpp_type() == pb::FieldDescriptor::CPPTYPE_DOUBLE
             ? reflection.GetDouble(*message, &wanted)
             : static_cast<double>(reflection.GetInt64(*message, &wanted));
}

std::string JobFile::where(const std::string& field) const {
  const auto found = positions_.find(field);
  if (found != positions_.end()) {
    return str_cat(path_, ":", found->second.first, ":", found->second.second, ": ");
  }
  for (const auto& [path, origin] : origins_) {
    if (is_below(field, path)) return origin + ": ";
  }
  return path_ + ": ";
}

std::string JobFile::where_layer(int index) const {
  return where(str_cat("model.layers[", index, "]"));
}

void choose_defaults(const JobSchema& schema, pb::Message& job) {
  const std::pair<const char*, const char*> defaults[] = {
      {"loss", "sparse_categorical_cross_entropy"}, {"optimizer", "sgd"}};
  for (const auto& [field, kind] : defaults) {
    if (names_kind(part(job, field))) continue;
    if (std::string_view(field) == "loss" && has_outputs(job)) continue;
    FieldSetter(schema, job, field_named(job, field), field).set_component(kind, -1);
  }
}

}  // namespace trireme
