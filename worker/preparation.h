// The time before a training has anything to save: data are read, a model is built. A signal that
// comes then ends the program at once, whatever is under way; later ones are asked for between
// steps. Private to worker/.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "core/base/thread_annotations.h"

namespace trireme {

class Preparation {
 public:
  // Calls `end`, which does not return, on a thread of its own soon after `stop` was set. Either
  // may be null: then a signal waits until the preparation is over.
  Preparation(const std::atomic<bool>* stop, std::function<void()> end) {
    if (stop == nullptr || !end) return;
    thread_ = std::thread([this, stop, end = std::move(end)] {
      MutexLock lock(mutex_);
      while (!over_) {
        if (*stop) end();
        changed_.wait_until(mutex_, std::chrono::steady_clock::now() + kPoll);
      }
    });
  }
  ~Preparation() { finish(); }
  Preparation(const Preparation&) = delete;

  // From now on `end` is not called.
  void finish() {
    if (!thread_.joinable()) return;
    {
      MutexLock lock(mutex_);
      over_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  static constexpr std::chrono::milliseconds kPoll{20};
  Mutex mutex_;
  ConditionVariable changed_;
  bool over_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trireme
