// What must have happened before somebody is told that it has: the work on the shards, the backup's
// receipt. Told once.
//
// Any thread. Shared by those whose arrival it waits for.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace trireme::ps {

class Ack {
 public:
  // `tell` gets false when it was given up. The maker holds one arrival.
  explicit Ack(std::function<void(bool)> tell) : tell_(std::move(tell)) {}

  void expect() { left_.fetch_add(1, std::memory_order_relaxed); }  // one arrival more
  void arrive() {
    if (left_.fetch_sub(1) == 1) finish(true);
  }
  void give_up() { finish(false); }

 private:
  void finish(bool acknowledged) {
    if (!told_.exchange(true)) std::exchange(tell_, nullptr)(acknowledged);
  }

  std::atomic<int> left_{1};
  std::atomic<bool> told_{false};
  std::function<void(bool)> tell_;
};

// What tells of one arrival; nothing for null.
inline std::function<void()> arrival(const std::shared_ptr<Ack>& ack) {
  if (ack == nullptr) return nullptr;
  return [ack] { ack->arrive(); };
}

}  // namespace trireme::ps
