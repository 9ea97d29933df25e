#include "core/base/local_process.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>

#include "core/base/error.h"

namespace trireme {

uint64_t process_start_time(int64_t pid) {
  std::ifstream file(str_cat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(file, line)) return 0;
  // "pid (name) state …": the name may hold anything, so count from its end. Field 22 is the time.
  const size_t end = line.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream fields(line.substr(end + 1));
  std::string state, skipped;
  fields >> state;
  if (state == "Z" || state == "X" || state == "x") return 0;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  uint64_t start = 0;
  fields >> start;
  return start;
}

bool process_has_ended(int64_t pid) {
  return pid > 0 && process_start_time(pid) == 0 && process_start_time(getpid()) != 0;
}

std::string shared_memory_host_id() {
  std::string boot = "unknown";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat folder {};
  if (stat("/dev/shm", &folder) != 0) folder = {};
  std::array<char, 64> pids{};
  const ssize_t length = readlink("/proc/self/ns/pid", pids.data(), pids.size());
  return str_cat(boot, "/", folder.st_dev, ":", folder.st_ino, "/",
                 std::string(pids.data(), static_cast<size_t>(length > 0 ? length : 0)));
}

}  // namespace trireme
