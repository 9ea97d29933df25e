// Real programs in tests: started, fed with signals, waited for, with what they printed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace trireme::testing {

struct ProcessResult {
  int exit_code = -1;  // 128 + signal when a signal ended it
  std::string out, err;
};

class Process {
 public:
  // Starts `arguments[0]` with `environment` ("NAME=value") added. Throws Error when it cannot.
  explicit Process(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment = {});
  ~Process();  // kills it when it still runs
  Process(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number);
  // Waits until `text` was printed to standard error so many times. False when the program ends or
  // the deadline passes first.
  bool wait_for_error_output(const std::string& text, std::chrono::seconds deadline, int times = 1);
  const std::string& error_output() const { return result_.err; }  // that was read so far
  // Reads what the program prints for so long; false when it ends before.
  bool runs_for(std::chrono::milliseconds time);
  // Kills the program when it does not end by the deadline.
  ProcessResult wait(std::chrono::seconds deadline = std::chrono::seconds(120));

 private:
  bool pump(int timeout_ms);  // reads what is there; false at the end of both streams

  pid_t pid_ = -1;
  int out_fd_ = -1, err_fd_ = -1;
  ProcessResult result_;
};

ProcessResult run(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& environment = {});

// A folder that is gone when the object is.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file into it and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const;

 private:
  std::string path_;
};

}  // namespace trireme::testing
