#include "worker/time_account.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>

#include "core/device/task_stream.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
using Use = TimeAccount::Use;
using Seconds = std::chrono::duration<double>;

// Long beside what a busy machine adds to a call, short for a test.
constexpr Seconds kWork{0.02};

void compute() {
  for (const auto begun = Clock::now(); Clock::now() - begun < kWork;) {
  }
}

class TimeAccountTest : public ::testing::Test {
 protected:
  double spent(Use use) const { return account_->seconds()[static_cast<size_t>(use)]; }
  // All uses together are what the clock says.
  void expect_whole() const {
    const Seconds before = Clock::now() - begun_;
    const auto seconds = account_->seconds();
    const Seconds after = Clock::now() - begun_;
    const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    EXPECT_GE(sum, before.count() - 0.01);
    EXPECT_LE(sum, after.count());
  }

  const Clock::time_point begun_ = Clock::now();
  const std::shared_ptr<TimeAccount> account_ = std::make_shared<TimeAccount>();
};

TEST_F(TimeAccountTest, EachMomentCountsForTheInnermostActivity) {
  const ObservedThread observed(account_);
  {
    const ActivityScope step(Activity::kStep);
    compute();
    {
      const ActivityScope saving(Activity::kCheckpoint);
      compute();
    }
    compute();
  }
  const double computing = spent(Use::kCompute), saving = spent(Use::kCheckpoints);
  EXPECT_GE(computing, 2 * kWork.count());
  EXPECT_GE(saving, kWork.count());
  compute();
  EXPECT_EQ(spent(Use::kCompute), computing) << "the step is over";
  EXPECT_EQ(spent(Use::kCheckpoints), saving);
  expect_whole();
}

// What is sent while the step computes costs it nothing; what it has to wait for does.
TEST_F(TimeAccountTest, OnlyWaitsForACollectiveCountAsOne) {
  const ObservedThread observed(account_);
  TaskStream stream("communication");
  const KernelArgs none{};
  bool computes = true;
  std::mutex mutex;
  std::condition_variable changed;
  const PreparedKernel collective{.run = [&](const KernelArgs&) {
    const ActivityScope communicating(Activity::kCollective);
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !computes; });
    compute();
  }};
  const ActivityScope step(Activity::kStep);
  stream.launch(collective, none);
  compute();
  compute();
  const double before = spent(Use::kCollectives);
  EXPECT_EQ(before, 0) << "it overlaps";
  {
    const std::lock_guard lock(mutex);
    computes = false;
  }
  changed.notify_one();
  stream.synchronize();
  const double waited = spent(Use::kCollectives);
  EXPECT_GT(waited, 0.5 * kWork.count());
  EXPECT_GE(spent(Use::kCompute), 2 * kWork.count());
  compute();
  EXPECT_EQ(spent(Use::kCollectives), waited);
  expect_whole();
}

// A wait for anything else is part of what waits.
TEST_F(TimeAccountTest, AWaitForServersCountsForThemAndAnotherForTheStep) {
  const ObservedThread observed(account_);
  TaskStream stream("communication");
  const KernelArgs none{};
  const PreparedKernel pull{.run = [](const KernelArgs&) {
    const ActivityScope calling(Activity::kServers);
    compute();
  }};
  const PreparedKernel other{.run = [](const KernelArgs&) { compute(); }};
  const ActivityScope step(Activity::kStep);
  stream.launch(pull, none);
  stream.synchronize();
  EXPECT_GT(spent(Use::kParameterServers), 0.5 * kWork.count());
  const double servers = spent(Use::kParameterServers);
  stream.launch(other, none);
  stream.synchronize();
  EXPECT_EQ(spent(Use::kParameterServers), servers);
  EXPECT_GE(spent(Use::kCompute), kWork.count());
  EXPECT_EQ(spent(Use::kCollectives), 0);
  expect_whole();
}

// Work of other trainings, and of threads that nobody observes, is nobody's.
TEST_F(TimeAccountTest, ThreadsThatAreNotObservedDoNotCount) {
  {
    const ActivityScope step(Activity::kStep);
    compute();
  }
  const ObservedThread observed(account_);
  std::thread other([] {
    const ActivityScope step(Activity::kStep);
    compute();
  });
  other.join();
  EXPECT_EQ(spent(Use::kCompute), 0);
}

}  // namespace
}  // namespace trireme
