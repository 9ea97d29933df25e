// The job file: read, overridden by --set, checked, and kept with where each thing stands in it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/job_override.h"
#include "worker/job_schema.h"

namespace trireme {

namespace data {
class Source;
}
namespace job {
class Job;  // proto/job.pb.h
}
namespace nn {
class Callback;
class Layer;
class LossOptions;
class MetricOptions;
class Optimizer;
}  // namespace nn

// One of several outputs with a loss of its own.
struct JobOutput {
  std::string layer;
  std::shared_ptr<const nn::LossOptions> loss;
  double weight = 1;
  std::vector<std::unique_ptr<nn::MetricOptions>> metrics, weighted_metrics;
  std::string labels;  // empty: the data's label
};

// A job and where it came from. Defaults that do not depend on the data are filled in. It is read
// only: any thread.
class JobFile {
 public:
  // Throws invalid_argument "FILE:LINE:COLUMN: …" for text that is no job, and for values out of
  // range; not_found. `overrides` are those of --set (worker/job_override.h); `options` come after
  // them. The file may be packed with gzip, and a pipe.
  static JobFile read(const std::string& path, const std::vector<std::string>& overrides = {},
                      const std::vector<JobOption>& options = {},
                      std::shared_ptr<const JobSchema> schema = core_job_schema());
  // The same from text; `name` stands for the file in messages.
  static JobFile parse(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides = {},
                       const std::vector<JobOption>& options = {},
                       std::shared_ptr<const JobSchema> schema = core_job_schema());
  JobFile(JobFile&&) noexcept;
  ~JobFile();

  // All but the components.
  const job::Job& job() const { return *frame_; }

  const data::Source& data() const { return *data_; }
  // What the data's label is compared with; with outputs() that of the first which takes it.
  const nn::LossOptions& loss() const { return *loss_; }
  const std::vector<std::unique_ptr<nn::MetricOptions>>& metrics() const { return metrics_; }
  const std::vector<std::unique_ptr<nn::MetricOptions>>& weighted_metrics() const {
    return weighted_metrics_;
  }
  const std::vector<JobOutput>& outputs() const { return outputs_; }  // empty: a single loss
  // New ones for each training; `plan_schedule()` is the caller's.
  std::vector<std::unique_ptr<nn::Layer>> make_layers() const;
  std::unique_ptr<nn::Optimizer> make_optimizer() const;
  std::vector<std::unique_ptr<nn::Callback>> make_callbacks() const;

  const JobSchema& schema() const { return *schema_; }
  // What was written, and the defaults of the frame that follow from other fields.
  const google::protobuf::Message& message() const { return *message_; }
  // The number at this path, or its default; nothing: there is no such message in the job.
  std::optional<double> number(const std::string& field) const;

  const std::string& path() const { return path_; }
  // "FILE:LINE:COLUMN: " of a field, by its path as in overrides; "--set …: " when it came from an
  // override, "FILE: " when it is not there.
  std::string where(const std::string& field) const;
  std::string where_layer(int index) const;  // from 0

 private:
  explicit JobFile(std::shared_ptr<const JobSchema> schema);
  void apply(const JobOverride& override_);
  void make_frame();
  void make_components();
  void make_outputs();

  std::shared_ptr<const JobSchema> schema_;
  std::string path_;
  std::unique_ptr<google::protobuf::Message> message_;
  std::unique_ptr<job::Job> frame_;
  std::unique_ptr<data::Source> data_;
  std::shared_ptr<const nn::LossOptions> loss_;
  std::vector<std::unique_ptr<nn::MetricOptions>> metrics_, weighted_metrics_;
  std::vector<JobOutput> outputs_;
  std::map<std::string, std::pair<int, int>> positions_;  // of fields: line and column, from 1
  std::map<std::string, std::string> origins_;  // of fields that an override set: "--set …"
};

// Chooses the loss and the optimizer of a job that names none.
void choose_defaults(const JobSchema& schema, google::protobuf::Message& job);

}  // namespace trireme
