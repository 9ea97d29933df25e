// `trireme sweep`: from its options to its table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/sweep/plan.h"
#include "launcher/sweep/runner.h"

namespace trireme::sweep {

struct SlurmOptions {
  bool submit = false;              // the trials are run by an array of tasks, not by this process
  bool wait = false;                // for its end
  std::vector<std::string> sbatch;  // more options of sbatch
};

struct SweepOptions {
  Plan plan;           // not resolved; `trials` 0: all of a grid
  std::string folder;  // empty: OUTPUT_DIR of the job, with "-sweep" behind it
  int jobs = 0;        // at once; 0: one for each core, on a GPU one; of an array kArrayTasks
  int threads = 0;     // compute threads of a trial; 0: its share of the cores
  bool pin = true;
  int64_t retries = 2;
  bool quiet = false;
  double grace_s = 30;
  bool on_gpu = false;  // the trials' device is a GPU
  SlurmOptions slurm;
};

inline constexpr int kArrayTasks = 8;

struct SweepResult {
  std::string json;   // the line of results
  int exit_code = 0;  // of a sweep that was stopped, or none of whose trials came to anything
};

// Begins the sweep in its folder, or goes on with it. REQUIRES: the main thread. Throws
// Error{kInvalidArgument} for options that do not fit together and for a folder that holds another
// sweep, naming what is different.
SweepResult sweep(SweepOptions options, const std::shared_ptr<const JobSchema>& schema);

// A task of an array: runs trials of the sweep in `folder` beside other tasks until none is left to
// be started. Throws Error{kNotFound} when there is no sweep.
SweepResult run_task(const SweepOptions& options, const std::shared_ptr<const JobSchema>& schema);

}  // namespace trireme::sweep
