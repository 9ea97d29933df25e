#include "launcher/supervisor/task_log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/log_file.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kTailBytes = 64 * 1024;
constexpr size_t kMaxLine = 400;
// A pipe that is writable takes so much without blocking.
constexpr size_t kShown = 4096;
// How long output of a task that has ended waits for whoever reads the launcher's.
constexpr std::chrono::milliseconds kLastOutput{2'000};

void close_it(int& fd) {
  if (fd >= 0) ::close(std::exchange(fd, -1));
}

// A full disk costs the log, not the training.
void write_log(int fd, const char* bytes, size_t count) { (void)!write_all(fd, bytes, count); }

std::atomic<int> g_output_error{0};

}  // namespace

int TaskLog::output_error() { return g_output_error; }

TaskLog::TaskLog(std::string path, bool shown) : path_(std::move(path)), shown_(shown) {
  file_ = open_log_file(path_);
  wake_ = eventfd(0, EFD_CLOEXEC);
}

TaskLog::~TaskLog() {
  end();
  close_it(file_);
  close_it(wake_);
}

void TaskLog::begin(const std::string& heading) {
  struct stat status {};
  fstat(file_, &status);
  char last = '\n';
  if (status.st_size > 0) (void)!pread(file_, &last, 1, status.st_size - 1);
  const std::string line = (last == '\n' ? "" : "\n") + heading + "\n";
  write_log(file_, line.data(), line.size());
  begin_ = status.st_size + static_cast<int64_t>(line.size());
  if (!shown_) {
    output_ = fcntl(file_, F_DUPFD_CLOEXEC, 3);
    error_ = fcntl(file_, F_DUPFD_CLOEXEC, 3);
    return;
  }
  std::array<int, 2> output{}, error{};
  if (pipe2(output.data(), O_CLOEXEC) != 0 || pipe2(error.data(), O_CLOEXEC) != 0)
    throw failed("cannot make a pipe: ", strerror(errno));
  output_ = output[1];
  error_ = error[1];
  fcntl(output[0], F_SETFL, O_NONBLOCK);
  fcntl(error[0], F_SETFL, O_NONBLOCK);
  ending_ = false;
  uint64_t old = 0;
  fcntl(wake_, F_SETFL, O_NONBLOCK);
  (void)!read(wake_, &old, sizeof old);
  thread_ = std::thread([this, out = output[0], err = error[0]] { copy(out, err); });
  pthread_setname_np(thread_.native_handle(), "task-log");
}

void TaskLog::started() {
  close_it(output_);
  close_it(error_);
}

void TaskLog::end() {
  started();
  if (!thread_.joinable()) return;
  ending_ = true;
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
  thread_.join();
}

// Until both ends are closed; once the task has ended, until nothing more is there: what it started
// may have kept the pipes open.
void TaskLog::copy(int output, int error) {
  int shown_output = STDOUT_FILENO, shown_error = STDERR_FILENO;
  std::optional<Clock::time_point> deadline;
  while (output >= 0 || error >= 0) {
    std::array<pollfd, 3> fds = {{{output, POLLIN, 0}, {error, POLLIN, 0}, {wake_, POLLIN, 0}}};
    const bool ending = ending_;
    if (ending && !deadline) deadline = Clock::now() + kLastOutput;
    if (deadline && Clock::now() > *deadline) break;
    if (poll(fds.data(), ending ? 2 : 3, ending ? 0 : -1) == 0) break;
    if (fds[0].revents != 0 && !copy_some(output, shown_output)) close_it(output);
    if (fds[1].revents != 0 && !copy_some(error, shown_error)) close_it(error);
  }
  close_it(output);
  close_it(error);
}

// False at the end of the stream.
bool TaskLog::copy_some(int from, int& shown_to) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t count = read(from, buffer.data(), buffer.size());
  if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
  write_log(file_, buffer.data(), static_cast<size_t>(count));
  show(shown_to, buffer.data(), static_cast<size_t>(count));
  return true;
}

// Never blocks for long after the task's end; a closed stream is not tried again.
void TaskLog::show(int& fd, const char* bytes, size_t count) {
  while (count > 0 && fd >= 0) {
    const bool ending = ending_;
    std::array<pollfd, 2> fds = {{{fd, POLLOUT, 0}, {wake_, POLLIN, 0}}};
    const int ready =
        poll(fds.data(), ending ? 1 : 2, ending ? static_cast<int>(kLastOutput.count()) : -1);
    if (ready == 0) {
      fd = -1;
    } else if (fds[0].revents != 0) {
      const ssize_t written = write(fd, bytes, std::min(count, kShown));
      if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (written < 0) {
        // A reader that goes away has seen what it wanted.
        if (fd == STDOUT_FILENO && errno != EPIPE) g_output_error = errno;
        fd = -1;
      } else {
        bytes += written;
        count -= static_cast<size_t>(written);
      }
    }
  }
}

std::string TaskLog::last_lines(int count) const {
  struct stat status {};
  fstat(file_, &status);
  const int64_t from = std::max(begin_, status.st_size - kTailBytes);
  std::string text(static_cast<size_t>(std::max<int64_t>(0, status.st_size - from)), '\0');
  const ssize_t got = pread(file_, text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    while (line.ends_with('\r')) line.pop_back();
    line.erase(0, line.rfind('\r') + 1);  // npos + 1 is 0
    if (line.size() > kMaxLine) line = line.substr(0, kMaxLine) + " …";
    lines.push_back(line);
  }
  std::string result;
  const size_t first = lines.size() - std::min(lines.size(), static_cast<size_t>(count));
  for (size_t i = first; i < lines.size(); ++i) result += "  | " + lines[i] + "\n";
  return result;
}

}  // namespace trireme
