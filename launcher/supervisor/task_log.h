// Where the output of one task goes: its log file, and for a task that is shown also the launcher's
// standard output and standard error, as it comes.
//
// A task that is not shown writes into its file itself. For one that is shown a thread named
// "task-log" copies; it never holds up the supervisor: a reader of the launcher's output that
// stalls holds up the task only. The methods belong to one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace trireme {

class TaskLog {
 public:
  // Throws Error{kInvalidArgument} naming the file when it cannot be opened for appending.
  TaskLog(std::string path, bool shown);
  ~TaskLog();
  TaskLog(const TaskLog&) = delete;

  const std::string& path() const { return path_; }

  // Before a start: writes `heading` as a line of its own, and makes what the task is to write to.
  void begin(const std::string& heading);
  int output() const { return output_; }
  int error() const { return error_; }
  // After the start: only the task holds those ends now.
  void started();
  // After the task's end: returns when all that it wrote is in the file.
  void end();

  // The last lines, at most `count`, since begin(), each indented; a line that was drawn over
  // (progress bars) as it was drawn last.
  std::string last_lines(int count) const;

  // Why the launcher's standard output could not take what a task printed there, as in errno; 0: it
  // took all, or its reader went away.
  static int output_error();

 private:
  void copy(int output, int error);
  bool copy_some(int from, int& shown_to);
  void show(int& fd, const char* bytes, size_t count);

  const std::string path_;
  const bool shown_;
  int file_ = -1;
  int64_t begin_ = 0;  // where the last start begins in the file
  int output_ = -1, error_ = -1;
  int wake_ = -1;  // eventfd: the task has ended
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace trireme
