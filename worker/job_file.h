// The job file: read, overridden by --set, checked, and kept with where each thing stands in it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/job_override.h"
#include "worker/job_schema.h"

namespace trireme {

namespace job {
class Job;  // proto/job.pb.h
}

// A job and where it came from. Defaults that do not depend on the data are filled in.
class JobFile {
 public:
  // Throws invalid_argument "FILE:LINE:COLUMN: …" for text that is no Job, and for values out of
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

  const job::Job& job() const { return *job_; }
  const JobSchema& schema() const { return *schema_; }
  const std::string& path() const { return path_; }
  // "FILE:LINE:COLUMN: " of a field, by its path as in overrides; "--set …: " when it came from an
  // override, "FILE: " when it is not there.
  std::string where(const std::string& field) const;
  std::string where_layer(int index) const;  // from 0

 private:
  explicit JobFile(std::shared_ptr<const JobSchema> schema);
  void apply(const JobOverride& override_);

  std::shared_ptr<const JobSchema> schema_;
  std::string path_;
  std::unique_ptr<job::Job> job_;
  std::map<std::string, std::pair<int, int>> positions_;  // of fields: line and column, from 1
  std::map<std::string, std::string> origins_;  // of fields that an override set: "--set …"
};

}  // namespace trireme
