// The group of a test's worker: the shares that a strategy cuts each batch into.
#pragma once

#include <algorithm>
#include <functional>
#include <span>

#include "core/nn/training_group.h"
#include "distributed/strategy/strategy.h"

namespace trireme::testing {

class StrategyGroup : public nn::TrainingGroup {
 public:
  // Worker `rank` of `workers`, for `examples` in batches of `batch`; the last may be smaller.
  // `strategy` outlives the group.
  StrategyGroup(const Strategy& strategy, int64_t examples, int64_t batch, int rank = 0,
                int workers = 1)
      : strategy_(strategy), examples_(examples), batch_(batch), rank_(rank), workers_(workers) {}

  // Adds up over the workers, for validations; all call it in the same order.
  using Sum = std::function<void(std::span<double>)>;
  void set_sum(Sum sum) { sum_ = std::move(sum); }

  void fill_share(int64_t batch, nn::StepShare& share) override {
    const int64_t batches = (examples_ + batch_ - 1) / batch_;
    strategy_.fill_share(std::min(batch_, examples_ - batch % batches * batch_), rank_, workers_,
                         share);
  }
  bool reduce_validation(nn::RunningMeans& means, bool interrupted) override {
    if (sum_) means.merge_workers(rank_, workers_, sum_);
    return interrupted;
  }

 protected:
  int rank() const { return rank_; }
  int workers() const { return workers_; }

 private:
  const Strategy& strategy_;
  const int64_t examples_, batch_;
  const int rank_, workers_;
  Sum sum_;
};

}  // namespace trireme::testing
