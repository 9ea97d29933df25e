#include "tests/support/stopped_thread.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace trireme::testing {

StoppedThread::StoppedThread(pid_t process) : pid_(process), thread_([this] { hold(); }) {
  ready_.wait(false);
}

StoppedThread::~StoppedThread() {
  done_ = true;
  thread_.join();
}

void StoppedThread::hold() {
  const auto begin = [&] {
    if (ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr) != 0) return false;
    return ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) == 0;
  };
  int status = 0;
  if (!begin() || waitpid(pid_, &status, __WALL) != pid_) {
    problem_ = std::string("ptrace: ") + std::strerror(errno);
    ready_ = true;
    ready_.notify_all();
    return;
  }
  ready_ = true;
  ready_.notify_all();
  // The parent hears of the end of a traced process when the tracer has.
  while (!done_) {
    if (waitpid(pid_, &status, __WALL | WNOHANG) == pid_ &&
        (WIFEXITED(status) || WIFSIGNALED(status))) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
}

}  // namespace trireme::testing
