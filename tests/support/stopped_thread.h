// Keeps one thread of another process from running, while the rest of it goes on: as user code that
// hangs does, in a process that still says that it lives.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <thread>

namespace trireme::testing {

// Its main thread. By ptrace, which may be forbidden: then `problem` says so, and nothing happens.
class StoppedThread {
 public:
  explicit StoppedThread(pid_t process);
  ~StoppedThread();  // lets it go on, if it lives
  StoppedThread(const StoppedThread&) = delete;

  const std::string& problem() const { return problem_; }

 private:
  void hold();  // thread: a tracer is a thread

  const pid_t pid_;
  std::string problem_;
  std::atomic<bool> ready_{false}, done_{false};
  std::thread thread_;
};

}  // namespace trireme::testing
