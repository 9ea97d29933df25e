// A sweep as an array job of Slurm: each task of the array runs `trireme sweep --task DIR`, which
// takes one trial after another from the shared folder.
#pragma once

#include <string>
#include <vector>

namespace trireme::sweep {

struct ArrayOptions {
  int tasks = 1;                     // of the array
  int cpus = 1;                      // of a task
  std::vector<std::string> sbatch;   // more options of sbatch
  std::vector<std::string> command;  // what a task runs: program and arguments
  bool wait = false;                 // until the array has ended
};

// Writes DIR/sweep.sbatch, submits it and returns the number of the job. Throws Error{kNotFound}
// without sbatch, {kFailed} with what sbatch said; with `wait` a task that failed is no error: the
// journal says what became of the trials. REQUIRES: the main thread.
std::string submit_array(const std::string& folder, const ArrayOptions& options);

// A word of a shell's command line.
std::string shell_word(const std::string& word);

}  // namespace trireme::sweep
