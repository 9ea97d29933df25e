#include "core/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "core/base/compute_pool.h"

namespace trireme {
namespace {

// A thread that comes late, because others have its core, still finds parts to do. More would only
// cost more beginnings.
constexpr int kPartsPerThread = 4;

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

// OMP_NUM_THREADS is a list, a number for each level of nesting; what does not begin with a
// positive number counts as not given, as in libgomp.
int default_threads() {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  int given = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), given);
  return given > 0 ? given : available_cores();
}

std::atomic<int> g_threads{0};  // 0: not set yet

// Full shares for every thread where there is enough work, so that none ends with less than others.
int parts_for(int64_t most, int threads) {
  if (most <= threads) return static_cast<int>(most);
  const int64_t each = std::min<int64_t>(most / threads, kPartsPerThread);
  return static_cast<int>(std::min<int64_t>(each * threads, ComputePool::kMaxParts));
}

}  // namespace

void set_compute_threads(int threads) {
  g_threads = std::min(threads > 0 ? threads : default_threads(), int{ComputePool::kMaxParts});
}

int compute_threads() {
  if (g_threads == 0) set_compute_threads(0);
  return g_threads;
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  const int threads = compute_threads();
  const int64_t most = (n + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  if (most <= 1 || threads == 1 || ComputePool::is_inside()) {
    body(0, n);
    return;
  }
  const int parts = parts_for(most, threads);
  std::exception_ptr first_error;
  std::atomic_flag has_error = ATOMIC_FLAG_INIT;
  ComputePool::instance().run(parts, threads, [&](int part) {
    const int64_t begin = n * part / parts;
    const int64_t end = n * (part + 1) / parts;
    if (begin == end) return;
    try {
      body(begin, end);
    } catch (...) {
      if (!has_error.test_and_set()) first_error = std::current_exception();
    }
  });
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace trireme
