// A real Slurm of two nodes, n1 and n2, both on this machine, for as long as the object lives.
//
// It has a folder, ports, a munge key and a munged of its own and touches no other Slurm of the
// machine. Its nodes claim 32 CPUs and 4 GPUs each, whatever the machine has. The work is done by
// tests/support/local_slurm; when the test dies, however it does, the script ends the daemons and
// all that they started.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace trireme::testing {

class LocalSlurm {
 public:
  // Why this machine cannot run one, and what to do; empty when it can.
  static std::string why_not();

  // Returns when both nodes wait for work. Throws Error{kUnavailable} with the daemons' last words.
  LocalSlurm();
  // Kills the jobs and the daemons, and waits until they are gone.
  ~LocalSlurm();
  LocalSlurm(const LocalSlurm&) = delete;

  // What srun, sbatch, … need.
  std::vector<std::string> environment() const { return {"SLURM_CONF=" + conf_}; }
  // "/usr/bin/srun" for "srun". REQUIRES: why_not() is empty.
  static std::string command(const std::string& name);

 private:
  TemporaryDirectory folder_;
  std::string conf_;
  std::unique_ptr<Process> script_;
};

}  // namespace trireme::testing
