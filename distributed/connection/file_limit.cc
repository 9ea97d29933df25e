#include "distributed/connection/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace trireme {
namespace {

// Enough for any job, where the hard limit is a number that nobody could close one by one.
constexpr rlim_t kMost = 1 << 20;

}  // namespace

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, std::max(limit.rlim_cur, kMost));
  if (wanted <= limit.rlim_cur) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);  // without it, the old limit is kept and respected
}

size_t file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<size_t>(std::min(limit.rlim_cur, kMost));
}

bool is_short_of_descriptors(int fd) {
  const size_t limit = file_limit();
  return static_cast<size_t>(fd) + std::min(kReservedDescriptors, limit / 4) >= limit;
}

}  // namespace trireme
