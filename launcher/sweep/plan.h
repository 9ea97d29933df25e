// What a sweep is: the job, the space and how it is searched. Kept in its folder, so that the same
// command goes on with it and another one is refused, and so that tasks of a Slurm array need
// nothing but the folder.
//
//   DIR/sweep.json          the plan
//   DIR/journal.jsonl       what happened (launcher/sweep/journal.h)
//   DIR/trial-0007/         a trial: job.textproto as it runs, trial.log, log.csv, checkpoints/,
//                           result.json
//   DIR/results.csv         a line a trial, at the end
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/sweep/space.h"
#include "worker/job_file.h"

namespace trireme::sweep {

enum class Search { kGrid, kRandom, kAsha };

struct Plan {
  std::string job_path;                      // as it was given, for messages
  std::string job_text;                      // what it says
  std::vector<std::string> overrides;        // of --set
  std::vector<std::string> train_arguments;  // of `trireme train`, for every trial
  std::vector<Parameter> parameters;
  Search search = Search::kRandom;
  int64_t trials = 0;  // of a grid: all of its settings
  uint64_t seed = 1;
  std::optional<int64_t> points;
  std::string metric = "val_loss";
  bool maximize = false;
  int64_t epochs = 1;      // of the job
  int64_t min_epochs = 1;  // ASHA: of the first rung
  int64_t reduction = 4;   // ASHA: one of so many goes on

  // The epochs at which trials are compared; the last are the job's.
  std::vector<int64_t> rungs() const;
  bool is_better(double value, double than) const { return maximize ? value > than : value < than; }
  // The setting of each trial.
  std::vector<Setting> settings() const;

  std::string to_json() const;
  // Throws Error{kDataLoss} naming `name`.
  static Plan from_json(const std::string& text, const std::string& name);

  // What is not the same in `other`, in words; empty: it is the same sweep, but that it may have
  // more trials where they are drawn.
  std::vector<std::string> differences_from(const Plan& other) const;
};

// Whether more of the figure is better; nothing: its name does not say.
std::optional<bool> is_maximized(const std::string& metric);

// The job as it is without a setting. Throws what JobFile::parse() throws.
JobFile base_job(const Plan& plan, const std::shared_ptr<const JobSchema>& schema);
// The job of a trial. Throws Error{kInvalidArgument} naming the parameter.
JobFile trial_job(const Plan& plan, const Setting& setting, const std::string& output_dir,
                  const std::shared_ptr<const JobSchema>& schema);

// Makes paths of patterns, and checks that each parameter's values can be what its field is, that
// none hides another and that no value replaces what another one chose. Throws
// Error{kInvalidArgument}.
void resolve_parameters(Plan& plan, const std::shared_ptr<const JobSchema>& schema);

std::string trial_name(int64_t number);  // "trial-0007"

}  // namespace trireme::sweep
