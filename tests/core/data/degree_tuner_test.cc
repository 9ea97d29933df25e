#include "core/data/degree_tuner.h"

#include <atomic>
#include <map>

#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using namespace std::chrono_literals;

// A machine whose rate with n threads is given, in elements a second; time is the test's.
int degree_after(const std::vector<double>& rates, std::chrono::milliseconds time,
                 bool held_up = false) {
  DegreeTuner tuner(static_cast<int>(rates.size()), true);
  DegreeTuner::Clock::time_point now{};
  const auto end = now + time;
  while (now < end) {
    const double rate = rates[static_cast<size_t>(tuner.degree() - 1)];
    now += std::chrono::duration_cast<DegreeTuner::Clock::duration>(
        std::chrono::duration<double>(1 / rate));
    if (held_up) tuner.idle();
    tuner.count(now);
  }
  return tuner.degree();
}

// Within 5% of the best, with as few threads as that takes.
TEST(DegreeTunerTest, FindsTheFewestThreadsThatAreAsGoodAsTheBest) {
  EXPECT_EQ(degree_after({1000, 1900, 1930, 1920, 1900, 1900}, 3s), 2);
  EXPECT_EQ(degree_after({1000, 2000, 3000, 4000}, 3s), 4);
  EXPECT_EQ(degree_after({1000, 900, 800, 700}, 3s), 1);
  EXPECT_EQ(degree_after({1000, 1000, 2000, 2000}, 3s), 3) << "one that brings nothing is passed";
}

// Where the consumer is slower than one thread, more threads would only take its cores.
TEST(DegreeTunerTest, DoesNotLookForMoreThanTheConsumerTakes) {
  EXPECT_EQ(degree_after({1000, 2000, 3000, 4000}, 3s, true), 1);
}

TEST(DegreeTunerTest, WithoutTuningAllThreadsWork) {
  DegreeTuner tuner(5, false);
  EXPECT_EQ(tuner.degree(), 5);
  EXPECT_FALSE(tuner.count(DegreeTuner::Clock::now()));
}

// Threads that rest must not keep what the others wait for, also where elements are claimed in
// order.
TEST(DegreeTunerTest, ResultsDoNotDependOnIt) {
  for (const bool stream : {false, true}) {
    Dataset data = numbers(3000);
    if (stream) data = data.filter([](const Element&) { return true; });
    std::atomic<int> calls = 0;
    const Dataset mapped =
        data.map([&](Element&, const MapContext&) { ++calls; }, {.threads = kAuto});
    EXPECT_EQ(drain(mapped.batch(10).prefetch(3, kAuto)), iota(0, 3000));
    EXPECT_GE(calls, 3000);
    for (int taken = 0; taken < 5; ++taken) {
      Iterator dropped = mapped.iterator();
      drain(dropped, taken);
    }
  }
}

}  // namespace
}  // namespace trireme::data
