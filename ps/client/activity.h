// What a worker does with its servers, for the coordinator, which looks for workers that hang: how
// much it has done, and for how long the oldest of its calls has been waiting.
//
// All methods may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "core/base/error.h"

namespace trireme::ps {

class Activity {
 public:
  // A call that waits for servers, from begin() to end().
  void begin() {
    note();
    if (waiting_.fetch_add(1) == 0) since_ = now();
  }
  void end() {
    note();
    // The next oldest one began after this moment or before it: it is not known, so this counts.
    since_ = now();
    waiting_.fetch_sub(1);
  }
  // begin() now, and end() when the callback of an asynchronous call comes, before `done`.
  std::function<void(std::unique_ptr<Error>)> watched(
      std::function<void(std::unique_ptr<Error>)> done) {
    begin();
    return [this, done = std::move(done)](std::unique_ptr<Error> error) {
      end();
      done(std::move(error));
    };
  }
  // Work without servers.
  void note() { progress_.fetch_add(1, std::memory_order_relaxed); }

  int64_t progress() const { return progress_; }
  std::chrono::milliseconds waiting() const {
    return std::chrono::milliseconds(waiting_ > 0 ? now() - since_ : 0);
  }

  class Call {
   public:
    explicit Call(Activity& activity) : activity_(activity) { activity_.begin(); }
    ~Call() { activity_.end(); }
    Call(const Call&) = delete;

   private:
    Activity& activity_;
  };

 private:
  static int64_t now() {  // milliseconds
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  std::atomic<int64_t> progress_{0};
  std::atomic<int> waiting_{0};
  std::atomic<int64_t> since_{0};
};

}  // namespace trireme::ps
