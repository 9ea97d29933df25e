#include "worker/job_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/base/suggest.h"
#include "core/data/line_reader.h"
#include "core/nn/precision.h"
#include "proto/job.pb.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using job::Job;
using job::Model;
using job::Optimizer;

// 'Job has no field "epoch"; did you mean "epochs"?' of what protobuf says about an unknown field.
std::string with_suggestion(const std::string& message) {
  constexpr std::string_view kBegin = "Message type \"", kMiddle = "\" has no field named \"",
                             kEnd = "\".";
  const size_t middle = message.find(kMiddle);
  if (!message.starts_with(kBegin) || middle == std::string::npos || !message.ends_with(kEnd)) {
    return message;
  }
  const size_t name_at = middle + kMiddle.size();
  const std::string name = message.substr(name_at, message.size() - kEnd.size() - name_at);
  const pb::Descriptor* const type = Job::descriptor()->file()->pool()->FindMessageTypeByName(
      message.substr(kBegin.size(), middle - kBegin.size()));
  if (type == nullptr) return message;
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
  return str_cat(type->name(), " has no field '", printable(name), "'", did_you_mean(name, names));
}

// Keeps the first error; protobuf counts lines and columns from 0.
class FirstError : public pb::io::ErrorCollector {
 public:
  explicit FirstError(std::string file) : file_(std::move(file)) {}
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    const std::string text = with_suggestion(message);
    text_ =
        line < 0 ? file_ + ": " + text : str_cat(file_, ":", line + 1, ":", column + 1, ": ", text);
  }
  void AddWarning(int, int, const std::string&) override {}
  const std::string& text() const { return text_; }

 private:
  std::string file_, text_;
};

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

// Whether `path` is `of` or a field or an element of it.
bool is_below(const std::string& path, const std::string& of) {
  return path.starts_with(of) &&
         (path.size() == of.size() || path[of.size()] == '.' || path[of.size()] == '[');
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

JobFile::JobFile(std::shared_ptr<const JobSchema> schema)
    : schema_(std::move(schema)), job_(std::make_unique<Job>()) {}
JobFile::JobFile(JobFile&&) noexcept = default;
JobFile::~JobFile() = default;

JobFile JobFile::parse(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides,
                       const std::vector<JobOption>& options,
                       std::shared_ptr<const JobSchema> schema) {
  JobFile file(std::move(schema));
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
  for (const std::string& set : overrides) file.apply(JobOverride(set));
  for (const JobOption& option : options) file.apply(JobOverride(option));
  check_values(*file.job_, [&](const std::string& path) { return file.where(path); });
  fill_defaults_and_check(*file.job_, name);
  file.job_->set_precision(precision_name(file));
  check_parameter_servers(file);
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
  override_.apply(*job_);
  const std::string& path = override_.path();
  // What stood there, and below it, stands there no longer, unless something was added to it.
  if (!override_.adds()) {
    std::erase_if(positions_, [&](const auto& place) { return is_below(place.first, path); });
    std::erase_if(origins_, [&](const auto& origin) { return is_below(origin.first, path); });
  }
  origins_[path] = override_.shown();
}

std::string JobFile::where(const std::string& field) const {
  const auto found = positions_.find(field);
  if (found != positions_.end()) {
    return str_cat(path_, ":", found->second.first, ":", found->second.second, ": ");
  }
  for (const auto& [path, origin] : origins_) {
    if (is_below(field, path)) return origin + ": ";
  }
  // Of a list in brackets, only the beginning is known.
  if (field.ends_with(']') && !field.ends_with("[0]")) {
    return where(field.substr(0, field.rfind('[')) + "[0]");
  }
  return path_ + ": ";
}

std::string JobFile::where_layer(int index) const {
  return where(str_cat("model.layers[", index, "]"));
}

}  // namespace trireme
