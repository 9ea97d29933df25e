#include "launcher/supervisor/process_guard.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace trireme {
namespace {

// Runs in the guard; nothing here may allocate or lock, because the launcher may have had threads.
[[noreturn]] void guard(int pipe, pid_t* groups, int capacity) {
  setsid();  // what a terminal sends to the launcher's group is not for the guard
  prctl(PR_SET_NAME, "trireme-guard");
  (void)!chdir("/");
  dup2(pipe, 0);
  close_range(1, ~0U, 0);
  for (;;) {
    int message = 0;
    const ssize_t count = read(0, &message, sizeof message);
    if (count < 0 && errno == EINTR) continue;
    if (count != sizeof message) break;
    const pid_t wanted = message > 0 ? 0 : -message;
    for (int i = 0; i < capacity; ++i) {
      if (groups[i] != wanted) continue;
      groups[i] = message > 0 ? message : 0;
      break;
    }
  }
  for (int i = 0; i < capacity; ++i) {
    if (groups[i] > 0) kill(-groups[i], SIGKILL);
  }
  _exit(0);
}

}  // namespace

ProcessGuard::ProcessGuard(int capacity) {
  std::array<int, 2> pipe{};
  if (pipe2(pipe.data(), O_CLOEXEC) != 0) throw failed("cannot make a pipe: ", strerror(errno));
  std::vector<pid_t> groups(static_cast<size_t>(capacity));
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);  // the guard starts with all signals blocked
  pid_ = _Fork();                         // without the handlers that libraries registered
  if (pid_ == 0) guard(pipe[0], groups.data(), capacity);
  const int error = errno;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(pipe[0]);
  pipe_ = pipe[1];
  if (pid_ < 0) {
    close(pipe_);
    throw failed("cannot start the process that guards the tasks: ", strerror(error));
  }
}

ProcessGuard::~ProcessGuard() {
  close(pipe_);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ProcessGuard::tell(int message) const {
  while (write(pipe_, &message, sizeof message) < 0 && errno == EINTR) {
  }
}

}  // namespace trireme
