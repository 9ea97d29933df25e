// Work that is to be finished although the program was told to end at once: a checkpoint that is
// half written holds what would be lost.
#pragma once

#include <atomic>

namespace trireme {

// While one of these lives, a second signal waits: the program was asked to end by the first, and
// does when the work is done. Any thread.
class Uninterrupted {
 public:
  Uninterrupted() { ++count_; }
  ~Uninterrupted() { --count_; }
  Uninterrupted(const Uninterrupted&) = delete;

  // May be called in a signal handler.
  static bool active() { return count_ > 0; }

 private:
  static inline std::atomic<int> count_{0};
  static_assert(std::atomic<int>::is_always_lock_free);
};

}  // namespace trireme
