// One process of a trial: `trireme train` over the trial's own job file, in the trial's folder.
//
// It goes on from the newest checkpoint that is there. The methods belong to the main thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/supervisor/task_process.h"
#include "launcher/sweep/state.h"

namespace trireme::sweep {

// What the processes of a sweep have in common.
struct TrialHost {
  const Plan& plan;
  const std::vector<Setting>& settings;
  std::string folder;  // of the sweep
  std::string program;
  Environment environment;
  std::shared_ptr<const JobSchema> schema;
  int threads = 1;
};

std::string trial_folder(const std::string& sweep_folder, int64_t trial);

class TrialRun {
 public:
  // Starts it, up to `target` epochs; `cpus` as in TaskCommand. Throws Error for a setting that
  // makes no job and for a program that cannot be executed.
  TrialRun(const TrialHost& host, const ProcessGuard& guard, int64_t trial, int64_t target,
           std::vector<int> cpus);
  ~TrialRun();
  TrialRun(const TrialRun&) = delete;

  int64_t trial() const { return trial_; }
  int descriptor() const { return process_->descriptor(); }  // readable when it has ended
  void signal(int number) const { process_->signal(number); }

  // What its end means, once; empty while it runs. kInterrupted where the sweep has told it to stop
  // (`stopping`). kKilled is what another try may do better.
  // Throws Error{kInvalidArgument} when the log has no column of the plan's metric.
  std::optional<Event> poll_end(bool stopping);

 private:
  Event result_of(Event event, const std::string& printed) const;
  std::string printed() const;

  const TrialHost& host_;
  const int64_t trial_, target_;
  const std::string folder_;
  int log_ = -1;
  int64_t log_begin_ = 0;  // where this process's part of the log begins
  double started_ = 0;
  std::unique_ptr<TaskProcess> process_;
};

// Writes the trial's result.json: its setting, status, and what it came to at each rung.
void write_result(const TrialHost& host, const SweepState& state, int64_t trial);

}  // namespace trireme::sweep
