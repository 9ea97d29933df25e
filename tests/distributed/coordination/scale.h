// What tests of the coordinator with thousands of tasks have in common.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/base/error.h"

namespace trireme::testing {

// How much longer things take because others use the machine: its busy time over that of this
// process and another.
class Contention {
 public:
  explicit Contention(pid_t other) : other_(other), machine_(of_machine()), ours_(of_ours()) {}
  double factor() const {
    const double ours = static_cast<double>(of_ours() - ours_);
    const double machine = static_cast<double>(of_machine() - machine_);
    return ours <= 0 ? 1 : std::max(1.0, machine / ours);
  }

 private:
  static int64_t of_machine() {
    std::ifstream file("/proc/stat");
    std::string cpu;
    int64_t user = 0, nice = 0, system = 0;
    file >> cpu >> user >> nice >> system;
    return user + nice + system;
  }
  static int64_t of_process(const std::string& pid) {
    std::ifstream file(str_cat("/proc/", pid, "/stat"));
    std::string word;
    int64_t user = 0, system = 0;
    for (int field = 1; field < 14 && file >> word; ++field) {
    }
    file >> user >> system;
    return user + system;
  }
  int64_t of_ours() const { return of_process("self") + of_process(std::to_string(other_)); }

  const pid_t other_;
  const int64_t machine_, ours_;
};

// Time that counts: what passed, less what others took of the machine.
class Stopwatch {
 public:
  explicit Stopwatch(pid_t other) : contention_(other) {}
  std::chrono::milliseconds passed() const {
    return std::chrono::ceil<std::chrono::milliseconds>((Clock::now() - start_) /
                                                        contention_.factor());
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
  const Contention contention_;
};

// So many losses, or as many as TRIREME_LOSSES says.
inline int losses() {
  const char* wanted = std::getenv("TRIREME_LOSSES");
  return wanted == nullptr ? 10 : std::max(1, std::atoi(wanted));
}

}  // namespace trireme::testing
