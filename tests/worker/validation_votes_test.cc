#include "worker/validation_votes.h"

#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <thread>

namespace trireme {
namespace {

constexpr int kWorkers = 3;

// Adds up over threads as a group of workers does.
class Group {
 public:
  void sum(int worker, std::span<double> values) {
    parts_[static_cast<size_t>(worker)] = values;
    all_here_.arrive_and_wait();
    std::vector<double> sums(values.size(), 0.0);
    for (const auto& part : parts_) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += part[i];
    }
    all_here_.arrive_and_wait();
    std::ranges::copy(sums, values.begin());
  }

 private:
  std::array<std::span<double>, kWorkers> parts_;
  std::barrier<> all_here_{kWorkers};
};

struct Outcome {
  int64_t batches = 0;  // done when the validation ended
  bool interrupted = false;
  double mean = 0;
};

// Each worker has so many batches, the last one fewer; worker 1 is told to stop before `told`.
std::array<Outcome, kWorkers> validate(int64_t batches, int64_t told) {
  Group group;
  std::atomic<bool> stop = false;
  std::array<Outcome, kWorkers> outcomes;
  {
    std::vector<std::jthread> threads;
    for (int worker = 0; worker < kWorkers; ++worker) {
      threads.emplace_back([&, worker] {
        ValidationVotes votes([&, worker](std::span<double> values) { group.sum(worker, values); },
                              [worker] { return std::pair(worker, kWorkers); },
                              [&] { return batches - 1; }, worker == 1 ? &stop : nullptr);
        Outcome& outcome = outcomes[static_cast<size_t>(worker)];
        const int64_t own = worker == kWorkers - 1 ? batches - 1 : batches;
        bool interrupted = false;
        for (; outcome.batches < own; ++outcome.batches) {
          if (worker == 1 && outcome.batches == told) stop = true;
          interrupted = votes.before(outcome.batches);
          if (interrupted) break;
        }
        nn::RunningMeans means(1);
        const double mine[] = {static_cast<double>(worker + 1)};
        means.add(mine, 1);
        outcome.interrupted = votes.reduce(means, interrupted);
        outcome.mean = means.value(0).value_or(0);
      });
    }
  }
  return outcomes;
}

// Workers that ended at different batches would wait for each other for ever.
TEST(ValidationVotesTest, AllEndBeforeTheSameBatchWhoeverIsTold) {
  const auto outcomes = validate(200'000, 5);
  for (const Outcome& outcome : outcomes) {
    EXPECT_TRUE(outcome.interrupted);
    EXPECT_EQ(outcome.batches, outcomes[0].batches);
    EXPECT_LT(outcome.batches, 199'999);
  }
}

TEST(ValidationVotesTest, WithoutASignalAllBatchesAreDoneAndAddedUp) {
  const auto outcomes = validate(1000, -1);
  for (int worker = 0; worker < kWorkers; ++worker) {
    const Outcome& outcome = outcomes[static_cast<size_t>(worker)];
    EXPECT_FALSE(outcome.interrupted);
    EXPECT_EQ(outcome.batches, worker == kWorkers - 1 ? 999 : 1000);
    EXPECT_EQ(outcome.mean, (1 + 2 + 3) / 3.0);
  }
}

}  // namespace
}  // namespace trireme
