// Parameter servers as far as a strategy sees them, in this process: workers are threads.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "core/base/thread_annotations.h"
#include "ps/ops/local_store.h"

namespace trireme::testing {

// A step's gradients of all workers are added and applied at once, and who is ahead waits: sync
// consistency.
class SharedTables {
 public:
  SharedTables(std::vector<ps::TableSpec> tables, int workers)
      : store_(std::move(tables)), workers_(workers) {}

  // Of one worker.
  std::shared_ptr<ps::TableStore> store(int worker) {
    return std::make_shared<Store>(*this, worker);
  }
  ps::LocalStore& local() { return store_; }

  // Adds over the workers; returns when all have called it.
  void sum(std::span<double> values) {
    MutexLock lock(mutex_);
    sums_.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) sums_[i] += values[i];
    const int64_t round = round_;
    if (++summed_ == workers_) {
      last_sums_ = std::move(sums_);
      sums_.clear();
      summed_ = 0;
      ++round_;
      changed_.notify_all();
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (round_ == round) {
      if (std::chrono::steady_clock::now() > deadline) throw late("sum");
      changed_.wait_until(mutex_, deadline);
    }
    std::ranges::copy(last_sums_, values.begin());
  }

 private:
  struct Gradient {
    int table = 0;
    std::vector<int64_t> keys;
    std::vector<float> rows;
  };
  class Store : public ps::TableStore {
   public:
    Store(SharedTables& shared, int worker) : shared_(shared), worker_(worker) {}
    const std::vector<ps::TableSpec>& tables() const override { return shared_.store_.tables(); }
    void pull(int64_t step, std::span<const ps::TableRows<float>> rows) override {
      MutexLock lock(shared_.mutex_);
      shared_.wait_for(step - 1);
      shared_.store_.pull(step, rows);
    }
    void push(int64_t step, int part, int parts, double learning_rate,
              std::span<const ps::TableRows<const float>> gradients) override {
      MutexLock lock(shared_.mutex_);
      shared_.take(worker_, gradients);
      if (part + 1 == parts) shared_.finish(step, learning_rate);
    }

   private:
    SharedTables& shared_;
    int worker_;
  };

  static constexpr std::chrono::seconds kPatience{60};
  static Error late(const std::string& what) {
    return Error(ErrorCode::kDeadlineExceeded, "a worker's " + what + " is missing");
  }
  void wait_for(int64_t step) REQUIRES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (step_ < step) {
      if (std::chrono::steady_clock::now() > deadline) throw late("push");
      changed_.wait_until(mutex_, deadline);
    }
  }
  void take(int worker, std::span<const ps::TableRows<const float>> gradients) REQUIRES(mutex_) {
    pending_.resize(static_cast<size_t>(workers_));
    for (const auto& given : gradients) {
      const ps::TableSpec& spec = store_.tables()[static_cast<size_t>(given.table)];
      const auto count = spec.is_dense() ? static_cast<size_t>(spec.elements)
                                         : given.keys.size() * static_cast<size_t>(spec.dim);
      pending_[static_cast<size_t>(worker)].push_back(
          {given.table, {given.keys.begin(), given.keys.end()}, {given.rows, given.rows + count}});
    }
  }
  void finish(int64_t step, double learning_rate) REQUIRES(mutex_) {
    if (++finished_ < workers_) return;
    finished_ = 0;
    std::vector<ps::TableRows<const float>> all;
    for (const auto& of_worker : pending_) {
      for (const Gradient& g : of_worker) all.push_back({g.table, g.keys, g.rows.data()});
    }
    store_.push(step, 0, 1, learning_rate, all);
    pending_.clear();
    step_ = step;
    changed_.notify_all();
  }

  mutable Mutex mutex_;
  ConditionVariable changed_;
  ps::LocalStore store_;
  const int workers_;
  int64_t step_ GUARDED_BY(mutex_) = 0;
  int finished_ GUARDED_BY(mutex_) = 0;
  int summed_ GUARDED_BY(mutex_) = 0;
  int64_t round_ GUARDED_BY(mutex_) = 0;
  std::vector<double> sums_ GUARDED_BY(mutex_), last_sums_ GUARDED_BY(mutex_);
  std::vector<std::vector<Gradient>> pending_ GUARDED_BY(mutex_);  // by worker
};

}  // namespace trireme::testing
