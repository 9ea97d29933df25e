#include "launcher/supervisor/task_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>

#include "core/base/error.h"

namespace trireme {
namespace {

// What the child needs, made before the fork: between fork and exec it may only make system calls.
struct Prepared {
  const char* program = nullptr;
  std::vector<char*> argv, envp;
  std::vector<std::string> variables;
  cpu_set_t cpus{};
  bool pinned = false;
  int input = -1, output = -1, error = -1, report = -1;
  pid_t launcher = 0;
};

[[noreturn]] void run_child(const Prepared& prepared, const ProcessGuard& guard) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != prepared.launcher) _exit(1);  // it died before the line above
  guard.add(getpid());
  if (prepared.pinned) sched_setaffinity(0, sizeof prepared.cpus, &prepared.cpus);
  dup2(prepared.input, 0);
  dup2(prepared.output, 1);
  dup2(prepared.error, 2);
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(prepared.program, prepared.argv.data(), prepared.envp.data());
  const int error = errno;
  (void)!write(prepared.report, &error, sizeof error);
  _exit(127);
}

bool is_file(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// Closes a descriptor at the end of a scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

bool TaskEnd::restart_may_help() const { return by_signal || number == 75; }

std::string TaskEnd::to_string() const {
  if (!by_signal) return str_cat("exit code ", number);
  const char* name = sigabbrev_np(number);
  return name != nullptr ? str_cat("killed by SIG", name) : str_cat("killed by signal ", number);
}

std::string find_program(const std::string& name) {
  if (name.empty()) throw invalid_argument("the name of the program to launch is empty");
  if (name.find('/') != std::string::npos) {
    if (!is_file(name)) throw not_found("program ", name, " does not exist");
    if (access(name.c_str(), X_OK) != 0)
      throw invalid_argument("program ", name, " cannot be executed: ", strerror(errno));
    return name;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    if (is_file(candidate) && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw not_found("program ", name, " is in no folder of PATH; give its path if it is elsewhere");
}

TaskProcess::TaskProcess(const TaskCommand& command, int output, int error,
                         const ProcessGuard& guard)
    : guard_(guard) {
  Prepared prepared;
  prepared.program = command.program.c_str();
  for (const std::string& argument : command.arguments)
    prepared.argv.push_back(const_cast<char*>(argument.c_str()));
  prepared.argv.push_back(nullptr);
  for (const auto& [name, value] : command.environment)
    prepared.variables.push_back(name + "=" + value);
  for (std::string& variable : prepared.variables) prepared.envp.push_back(variable.data());
  prepared.envp.push_back(nullptr);
  CPU_ZERO(&prepared.cpus);
  for (const int cpu : command.cpus) CPU_SET(static_cast<size_t>(cpu), &prepared.cpus);
  prepared.pinned = !command.cpus.empty();
  std::array<int, 2> report{};
  if (pipe2(report.data(), O_CLOEXEC) != 0) throw failed("cannot make a pipe: ", strerror(errno));
  const Descriptor report_in{report[0]};
  Descriptor report_out{report[1]};
  const Descriptor input{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  prepared.input = input.fd;
  prepared.output = output;
  prepared.error = error;
  prepared.report = report_out.fd;
  prepared.launcher = getpid();

  const pid_t pid = _Fork();  // without the handlers that libraries registered
  if (pid == 0) run_child(prepared, guard);
  if (pid < 0) throw failed("cannot start a process: ", strerror(errno));
  pid_ = pid;
  setpgid(pid, pid);  // whoever is first, parent or child: it is done before anyone signals it
  ::close(std::exchange(report_out.fd, -1));
  int exec_error = 0;
  ssize_t count = 0;
  do {
    count = read(report_in.fd, &exec_error, sizeof exec_error);
  } while (count < 0 && errno == EINTR);
  if (count == sizeof exec_error) {
    guard_.remove(pid);
    waitpid(pid, nullptr, 0);
    throw not_found("program ", command.program, " cannot be executed: ", strerror(exec_error));
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd_ < 0) {
    const int cause = errno;
    signal(SIGKILL);
    guard_.remove(pid);
    waitpid(pid, nullptr, 0);
    throw failed("cannot watch process ", pid, ": ", strerror(cause));
  }
}

TaskProcess::~TaskProcess() {
  if (pid_ > 0) {
    signal(SIGKILL);
    guard_.remove(pid_);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(pidfd_);
}

void TaskProcess::signal(int number) const {
  if (pid_ > 0) kill(-pid_, number);
}

std::optional<TaskEnd> TaskProcess::poll_end() {
  if (pid_ < 0) return std::nullopt;
  siginfo_t info{};
  const auto id = static_cast<id_t>(pid_);
  if (waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
    return std::nullopt;
  // The group's number cannot be another's before its leader has been waited for.
  signal(SIGKILL);
  guard_.remove(pid_);
  waitid(P_PID, id, &info, WEXITED);
  pid_ = -1;
  return TaskEnd{.by_signal = info.si_code != CLD_EXITED, .number = info.si_status};
}

}  // namespace trireme
