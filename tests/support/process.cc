#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"

extern char** environ;

namespace trireme::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Appends what can be read now; closes the descriptor at its end.
void read_some(int& fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t count = read(fd, buffer.data(), buffer.size());
  if (count > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
  } else {
    close(fd);
    fd = -1;
  }
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments,
                 const std::vector<std::string>& environment) {
  std::array<int, 2> out{}, err{};
  TRIREME_CHECK(pipe2(out.data(), O_CLOEXEC) == 0 && pipe2(err.data(), O_CLOEXEC) == 0);
  std::vector<char*> argv, envp;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
  // The first of two equal names counts, so what is added goes to the front.
  for (const auto& variable : environment)
    envp.insert(envp.begin(), const_cast<char*>(variable.c_str()));
  envp.push_back(nullptr);
  pid_ = fork();
  TRIREME_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    dup2(out[1], 1);
    dup2(err[1], 2);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  out_fd_ = out[0];
  err_fd_ = err[0];
}

Process::~Process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (out_fd_ >= 0) close(out_fd_);
  if (err_fd_ >= 0) close(err_fd_);
}

void Process::signal(int number) { kill(pid_, number); }

bool Process::pump(int timeout_ms) {
  std::array<pollfd, 2> fds = {{{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}}};
  if (out_fd_ < 0 && err_fd_ < 0) return false;
  if (poll(fds.data(), fds.size(), timeout_ms) > 0) {
    if (fds[0].revents != 0) read_some(out_fd_, result_.out);
    if (fds[1].revents != 0) read_some(err_fd_, result_.err);
  }
  return true;
}

bool Process::wait_for_error_output(const std::string& text, std::chrono::seconds deadline,
                                    int times) {
  const auto end = Clock::now() + deadline;
  const auto printed = [&] {
    size_t at = 0;
    for (int i = 0; i < times; ++i, at += text.size()) {
      at = result_.err.find(text, at);
      if (at == std::string::npos) return false;
    }
    return true;
  };
  while (!printed()) {
    if (Clock::now() > end || !pump(50)) return false;
  }
  return true;
}

bool Process::runs_for(std::chrono::milliseconds time) {
  for (const auto end = Clock::now() + time; pump(10);) {
    if (Clock::now() > end) return true;
  }
  return false;
}

ProcessResult Process::wait(std::chrono::seconds deadline) {
  const auto end = Clock::now() + deadline;
  while (pump(50)) {
    if (Clock::now() > end) kill(pid_, SIGKILL);
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result_;
}

ProcessResult run(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& environment) {
  return Process(arguments, environment).wait();
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "trireme-test-XXXXXX").string();
  TRIREME_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(const std::string& name, const std::string& bytes) const {
  const std::string path = *this / name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

}  // namespace trireme::testing
