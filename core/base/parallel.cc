#include "core/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>

#ifdef TRIREME_USE_OPENMP
#include <omp.h>
#else
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>
#endif

namespace trireme {
namespace {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

std::atomic<int> g_threads{0};  // 0: not set yet
thread_local bool t_inside = false;

// Runs part `index` of `parts`; the cut is the same whichever pool runs it.
void run_part(int64_t n, int64_t parts, int64_t index,
              const FunctionRef<void(int64_t, int64_t)>& body) {
  const int64_t begin = n * index / parts;
  const int64_t end = n * (index + 1) / parts;
  if (begin < end) body(begin, end);
}

#ifndef TRIREME_USE_OPENMP
// A fixed pool for ThreadSanitizer builds: correctness matters there, speed does not.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    start_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  void run(int parts, FunctionRef<void(int)> body) {
    std::lock_guard one_caller(callers_);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      parts_ = parts;
      running_ = static_cast<int>(workers_.size());
      ++round_;
    }
    start_.notify_all();
    body(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }
  int size() const { return static_cast<int>(workers_.size()) + 1; }

 private:
  void work(int index) {
    int64_t seen = 0;
    while (true) {
      FunctionRef<void(int)>* body = nullptr;
      bool mine = false;
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return stop_ || round_ != seen; });
        if (stop_) return;
        seen = round_;
        body = body_;
        mine = index < parts_;
      }
      if (mine) (*body)(index);
      std::lock_guard lock(mutex_);
      if (--running_ == 0) done_.notify_all();
    }
  }

  std::mutex callers_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  FunctionRef<void(int)>* body_ = nullptr;
  int parts_ = 0, running_ = 0;
  int64_t round_ = 0;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

// Whoever runs on a pool that a larger one replaces keeps it until its round is done.
std::shared_ptr<Pool> pool(int threads) {
  static std::mutex mutex;
  static std::shared_ptr<Pool> instance;
  std::lock_guard lock(mutex);
  if (!instance || instance->size() < threads) instance = std::make_shared<Pool>(threads);
  return instance;
}
#endif

}  // namespace

void set_compute_threads(int threads) {
  const int count = threads > 0 ? threads : available_cores();
  g_threads = count;
#ifdef TRIREME_USE_OPENMP
  omp_set_dynamic(0);
  omp_set_num_threads(count);
#endif
}

int compute_threads() {
  if (g_threads == 0) set_compute_threads(0);
  return g_threads;
}

void adopt_compute_threads() {
#ifdef TRIREME_USE_OPENMP
  const int threads = t_inside ? 1 : compute_threads();
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
#endif
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  const int64_t most = (n + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  const int parts = static_cast<int>(std::min<int64_t>(most, compute_threads()));
  if (parts <= 1 || t_inside) {
    body(0, n);
    return;
  }
  std::exception_ptr first_error;
  std::atomic_flag has_error = ATOMIC_FLAG_INIT;
  auto guarded = [&](int index) {
    t_inside = true;
    try {
      run_part(n, parts, index, body);
    } catch (...) {
      if (!has_error.test_and_set()) first_error = std::current_exception();
    }
    t_inside = false;
  };
#ifdef TRIREME_USE_OPENMP
#pragma omp parallel num_threads(parts)
  {
    // OpenMP may give fewer threads than asked for; every part still runs.
    for (int i = omp_get_thread_num(); i < parts; i += omp_get_num_threads()) guarded(i);
  }
#else
  pool(parts)->run(parts, guarded);
#endif
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace trireme
