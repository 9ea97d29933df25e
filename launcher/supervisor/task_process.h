// One process that the launcher started, with everything that this one starts: a process group.
//
// The group ends with its leader, and with the launcher: the kernel kills the leader when the
// thread that started it dies (so start tasks from the main thread), the guard kills the rest.
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "distributed/cluster/cluster_spec.h"
#include "launcher/supervisor/process_guard.h"

namespace trireme {

struct TaskCommand {
  std::string program;                 // its path
  std::vector<std::string> arguments;  // the first: the name by which it is called
  Environment environment;             // all of it
  std::vector<int> cpus;               // where it may run; empty: as the launcher
};

// How a process ended.
struct TaskEnd {
  bool by_signal = false;
  int number = 0;  // the signal, or the exit code

  bool success() const { return !by_signal && number == 0; }
  // By a signal, or with 75: another try may succeed.
  bool restart_may_help() const;
  std::string to_string() const;  // "killed by SIGKILL", "exit code 2"
};

// The path of `name` as a shell would find it. Throws Error{kNotFound}, {kInvalidArgument} for a
// file that cannot be executed.
std::string find_program(const std::string& name);

class TaskProcess {
 public:
  // Standard input is empty, output and error go to the descriptors given, which stay the caller's.
  // Returns when the program runs. Throws Error{kNotFound} naming it when it cannot be executed.
  TaskProcess(const TaskCommand& command, int output, int error, const ProcessGuard& guard);
  ~TaskProcess();  // kills the group when it still runs
  TaskProcess(const TaskProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Readable when the process has ended.
  int descriptor() const { return pidfd_; }
  // To the whole group.
  void signal(int number) const;
  // How it ended, once; then the rest of its group is killed too. Empty while it runs.
  std::optional<TaskEnd> poll_end();

 private:
  const ProcessGuard& guard_;
  pid_t pid_ = -1;  // -1: waited for
  int pidfd_ = -1;
};

}  // namespace trireme
