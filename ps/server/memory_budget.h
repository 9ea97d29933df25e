// The bytes that all tables of a server may take, and what is on its way into them.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace trireme::ps {

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit) : limit_(limit) {}

  int64_t limit() const { return limit_; }
  // Of tables, as they have told.
  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  // Of pushes that were let in and are not applied yet, what they hold and what they may add; of
  // what waits to be sent to backups.
  int64_t reserved() const { return reserved_.load(std::memory_order_relaxed); }
  void change_used(int64_t by) { used_.fetch_add(by, std::memory_order_relaxed); }

  // Reserved until the object goes.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(MemoryBudget& budget, int64_t bytes) : budget_(&budget), bytes_(bytes) {
      budget.reserved_.fetch_add(bytes, std::memory_order_relaxed);
    }
    Reservation(Reservation&& other) noexcept { *this = std::move(other); }
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation() {
      if (budget_ != nullptr) budget_->reserved_.fetch_sub(bytes_, std::memory_order_relaxed);
    }

   private:
    MemoryBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_{0}, reserved_{0};
};

}  // namespace trireme::ps
