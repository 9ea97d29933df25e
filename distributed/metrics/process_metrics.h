// Prometheus' standard figures of a process (CPU, memory, descriptors, start), and the version.
//
// Keeps what it reads open, so that it has figures also when the process has no descriptor left.
// One thread.
#pragma once

#include <string>

namespace trireme {

class ProcessMetrics {
 public:
  ProcessMetrics();
  ~ProcessMetrics();
  ProcessMetrics(const ProcessMetrics&) = delete;

  std::string text();  // a figure that the system does not tell is left out

 private:
  int statistics_ = -1;          // /proc/self/stat
  void* descriptors_ = nullptr;  // DIR of /proc/self/fd
  double boot_time_ = 0;         // of the machine, in seconds since 1970; 0: unknown
};

}  // namespace trireme
