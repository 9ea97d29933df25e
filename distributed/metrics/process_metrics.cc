#include "distributed/metrics/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "distributed/metrics/metric_text.h"

namespace trireme {
namespace {

double boot_time() {
  std::ifstream in("/proc/stat");
  for (std::string word; in >> word;) {
    double seconds = 0;
    if (word == "btime" && in >> seconds) return seconds;
  }
  return 0;
}

// The fields of /proc/PID/stat by their numbers in proc(5), from 1; those before 3 are left empty.
std::vector<double> fields_of(int file) {
  std::array<char, 2048> bytes;
  const ssize_t count = pread(file, bytes.data(), bytes.size(), 0);
  const std::string text(bytes.data(), count > 0 ? static_cast<size_t>(count) : 0);
  // The second is the program's name in parentheses, which may have blanks and parentheses.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream in(text.substr(name_end + 1));
  std::vector<double> fields(4, 0);
  std::string state;
  in >> state;
  for (double value = 0; in >> value;) fields.push_back(value);
  return fields;
}

}  // namespace

ProcessMetrics::ProcessMetrics()
    : statistics_(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)),
      descriptors_(opendir("/proc/self/fd")),
      boot_time_(boot_time()) {}

ProcessMetrics::~ProcessMetrics() {
  if (statistics_ >= 0) close(statistics_);
  if (descriptors_ != nullptr) closedir(static_cast<DIR*>(descriptors_));
}

std::string ProcessMetrics::text() {
  MetricText text;
  text.gauge("trireme_build_info", "The version of Trireme; the value is always 1.", 1,
             {{"version", TRIREME_VERSION}});
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::vector<double> fields = fields_of(statistics_);
  constexpr size_t kUser = 14, kSystem = 15, kStart = 22, kVirtual = 23, kResident = 24;
  if (fields.size() > kResident) {
    text.counter("process_cpu_seconds_total", "CPU time in user and system mode, in seconds.",
                 (fields[kUser] + fields[kSystem]) / ticks);
    text.gauge("process_resident_memory_bytes", "Resident memory, in bytes.",
               fields[kResident] * static_cast<double>(sysconf(_SC_PAGE_SIZE)));
    text.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.", fields[kVirtual]);
    if (boot_time_ > 0) {
      text.gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.",
                 boot_time_ + fields[kStart] / ticks);
    }
  }
  if (auto* const directory = static_cast<DIR*>(descriptors_); directory != nullptr) {
    rewinddir(directory);
    int open = 0;
    while (const dirent* entry = readdir(directory)) open += entry->d_name[0] != '.' ? 1 : 0;
    text.gauge("process_open_fds", "Open file descriptors.", open);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    text.gauge("process_max_fds", "Most file descriptors that may be open.",
               static_cast<double>(limit.rlim_cur));
  }
  return text.str();
}

}  // namespace trireme
