// A process beside the launcher that outlives it for a moment: when the launcher is gone, however
// it died, the guard kills the process groups that are registered, so that not even what a task
// started itself stays behind.
//
// Owned by the supervisor. The launcher holds the only lasting write end of a pipe, so that the
// end of the pipe is the end of the launcher. add() may be called between fork and exec; the rest
// belongs to one thread.
#pragma once

#include <sys/types.h>

namespace trireme {

class ProcessGuard {
 public:
  // Starts the guard, which keeps up to `capacity` groups at a time. Throws Error{kFailed}.
  explicit ProcessGuard(int capacity);
  ~ProcessGuard();  // groups that are still registered are killed
  ProcessGuard(const ProcessGuard&) = delete;

  // Async-signal-safe.
  void add(pid_t group) const { tell(group); }
  // REQUIRES: the group's leader has not been waited for, else its number may be another's by now.
  void remove(pid_t group) const { tell(-group); }

 private:
  void tell(int message) const;

  pid_t pid_ = -1;
  int pipe_ = -1;
};

}  // namespace trireme
