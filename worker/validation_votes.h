// How several workers end a validation together when one of them is told to stop, long before its
// end: every half second or so they add up who was told, all before the same batch. Private to
// worker/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "core/nn/metrics.h"

namespace trireme {

class ValidationVotes {
 public:
  // Adds numbers up over the workers; all call it in the same order.
  using Sum = std::function<void(std::span<double>)>;

  // This worker's rank, and how many workers there are.
  using Place = std::function<std::pair<int, int>()>;

  // `batches`: so many every worker has, asked when a validation begins, as `place` is when it
  // ends. `stop`: set when this worker is told to stop; null: it never is.
  ValidationVotes(Sum sum, Place place, std::function<int64_t()> batches,
                  const std::atomic<bool>* stop)
      : sum_(std::move(sum)), place_(std::move(place)), batches_(std::move(batches)), stop_(stop) {}

  // See TrainingGroup::interrupts_validation().
  bool before(int64_t batch) {
    if (batch == 0) begin(batch, 1);
    if (batch < next_ || batch >= batches_()) return false;
    const std::chrono::duration<double> elapsed = Clock::now() - began_;
    // All workers get the same sums, so they agree on when to vote next.
    double values[] = {stop_ != nullptr && *stop_ ? 1.0 : 0.0, elapsed.count(), 1};
    sum_(values);
    const double seconds = values[1] / values[2] / static_cast<double>(batch - last_);
    begin(batch, seconds * kMostBatches > kIntervalSeconds
                     ? std::max<int64_t>(1, static_cast<int64_t>(kIntervalSeconds / seconds))
                     : kMostBatches);
    return values[0] > 0;
  }

  // See TrainingGroup::reduce_validation().
  bool reduce(nn::RunningMeans& means, bool interrupted) {
    double votes = interrupted ? 1 : 0;
    const auto [rank, workers] = place_();
    means.merge_workers(rank, workers, sum_, {&votes, 1});
    return votes > 0;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kIntervalSeconds = 0.5;
  static constexpr int64_t kMostBatches = 4096;

  void begin(int64_t batch, int64_t interval) {
    last_ = batch;
    next_ = batch + interval;
    began_ = Clock::now();
  }

  Sum sum_;
  Place place_;
  std::function<int64_t()> batches_;
  const std::atomic<bool>* stop_;
  int64_t last_ = 0, next_ = 0;
  Clock::time_point began_;
};

}  // namespace trireme
