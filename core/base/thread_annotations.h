// Clang's thread-safety annotations (-Wthread-safety), and a mutex that carries them. Empty under
// other compilers.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define TRIREME_ATTRIBUTE(x) __attribute__((x))
#else
#define TRIREME_ATTRIBUTE(x)
#endif

#define GUARDED_BY(x) TRIREME_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) TRIREME_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) TRIREME_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace trireme {

class TRIREME_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() TRIREME_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() TRIREME_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class TRIREME_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TRIREME_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() TRIREME_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits on a Mutex that the caller holds; write the predicate as a loop around wait().
class ConditionVariable {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) { condition_.wait(mutex); }
  template <typename TimePoint>
  bool wait_until(Mutex& mutex, TimePoint deadline) REQUIRES(mutex) {
    return condition_.wait_until(mutex, deadline) == std::cv_status::no_timeout;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace trireme
