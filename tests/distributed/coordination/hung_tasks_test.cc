// Which task the coordinator takes for one that hangs, with made-up times; generations that lead to
// nothing, and jobs that have failed.
#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "distributed/coordination/launchers.h"
#include "distributed/coordination/worker_monitor.h"
#include "tests/distributed/coordination/fake_job.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FakeJob;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

MemberBeat waits() { return {.entered = 5, .finished = 4, .step = 3, .what = "bucket 0"}; }
MemberBeat computes() { return {.entered = 4, .finished = 4, .step = 3, .what = "bucket 0"}; }

// "1.0": worker 1, its first start.
class Asked {
 public:
  explicit Asked(bool is_there = true) : is_there_(is_there) {}
  std::function<bool(const HungTask&)> function() {
    return [this](const HungTask& task) {
      if (is_there_) tasks.push_back(str_cat(task.index, ".", task.start));
      return is_there_;
    };
  }
  std::vector<std::string> tasks;

 private:
  const bool is_there_;
};

CoordinatorOptions options(int workers, Asked& asked) {
  CoordinatorOptions options = FakeJob::options(workers);
  options.replace = asked.function();
  return options;
}

// Survivors wait in the collective and in the next join; neither makes them the one that hangs.
TEST(HungTasksTest, TheSilentOneOfAStallReportIsReplacedAtOnce) {
  Asked asked;
  FakeJob job(options(3, asked));
  job.start();
  job.mark();
  job.advance(59s, {{0, waits()}, {2, waits()}});
  EXPECT_THAT(asked.tasks, IsEmpty());
  job.advance(2s, {{0, waits()}, {2, waits()}});
  EXPECT_THAT(asked.tasks, ElementsAre("1.0"));
  job.join(0, 100);
  job.join(2, 102);
  job.advance(100s);
  EXPECT_THAT(asked.tasks, ElementsAre("1.0")) << "once";
}

// It beats, so it may only be slow: it has until a moment after the others gave up.
TEST(HungTasksTest, OneThatBeatsIsReplacedWhenItDoesNotJoinAgain) {
  for (const bool returns : {false, true}) {
    Asked asked;
    FakeJob job(options(2, asked));
    job.start();
    job.mark();
    job.advance(61s, {{0, waits()}, {1, computes()}});
    job.join(0, 100);
    if (returns) job.join(1, 101);
    job.advance(10s);
    EXPECT_EQ(asked.tasks, returns ? std::vector<std::string>() : std::vector<std::string>{"1.0"});
  }
}

// Nobody ever was in a collective with it: only that it lives and is not back tells.
TEST(HungTasksTest, OneThatDoesNotComeBackAfterAnothersDeathIsReplaced) {
  Asked asked;
  FakeJob job(options(3, asked));
  job.start();
  job.member_table.detach(1, 2, job.now);
  job.join(0, 100);
  job.join(2, 202);
  job.advance(59s, {{1, computes()}});
  EXPECT_THAT(asked.tasks, IsEmpty());
  job.advance(2s, {{1, computes()}});
  EXPECT_THAT(asked.tasks, ElementsAre("1.0"));
}

TEST(HungTasksTest, OneThatNeverJoinsIsReplacedAndTheOthersWaitForTheNewOne) {
  Asked asked;
  FakeJob job(options(2, asked));
  const auto zero = job.join(0, 100);
  job.advance(121s);
  EXPECT_THAT(asked.tasks, ElementsAre("1.-1"));
  EXPECT_EQ(job.error(zero), "");
  job.attend(job.join(1, 101));
  job.attend(zero);
}

TEST(HungTasksTest, WithoutALauncherTheOthersHearWhoDidNotCome) {
  Asked nobody(false);
  FakeJob job(options(2, nobody));
  job.start();
  job.mark();
  job.advance(61s, {{0, waits()}});
  const auto zero = job.join(0, 100);
  job.advance(121s);
  EXPECT_THAT(job.error(zero), AllOf(HasSubstr("rank 1 did not come"),
                                     HasSubstr("rank 1 (host n1, pid 401) has been missing")));
}

TEST(HungTasksTest, ALauncherIsAskedAsOftenAsItRestartsAndOnceMore) {
  std::vector<std::string> asked;
  Launchers launchers;
  launchers.add(
      {.first_worker = 2, .workers = 2, .max_restarts = 1, .replace = [&](const auto& task) {
         asked.push_back(task.why);
       }});
  EXPECT_FALSE(launchers.replace({.index = 1, .why = "another node's"}));
  EXPECT_FALSE(launchers.replace({.type = TaskType::kParameterServer, .index = 2, .why = "ps"}));
  EXPECT_TRUE(launchers.replace({.index = 3, .start = 0, .why = "first"}));
  EXPECT_TRUE(launchers.replace({.index = 3, .start = 0, .why = "the same, as another saw it"}));
  EXPECT_TRUE(launchers.replace({.index = 3, .start = 1, .why = "last"}));
  EXPECT_FALSE(launchers.replace({.index = 3, .start = 2, .why = "never"}));
  EXPECT_THAT(asked, ElementsAre("first", "last"));
}

// Workers that only meet at servers: who waits for another is not the one that hangs.
TEST(HungTasksTest, OfWorkersAtServersTheOneThatDoesNothingIsReplaced) {
  Asked asked;
  WorkerMonitor worker_monitor(asked.function());
  auto now = std::chrono::steady_clock::time_point(1h);
  for (int worker : {0, 1, 2}) worker_monitor.attend(worker, 1, 60s, now);
  for (int second = 1; second <= 39; ++second) {
    now += 1s;
    worker_monitor.beat(0, 1, {.progress = 7, .waiting = std::chrono::seconds(second)}, now);
    worker_monitor.beat(1, 1, {.progress = 6}, now);       // hangs in its own code
    worker_monitor.beat(2, 1, {.progress = second}, now);  // validates
    worker_monitor.tick(now, {});
  }
  EXPECT_THAT(asked.tasks, IsEmpty());
  now += 3s;
  worker_monitor.beat(0, 1, {.progress = 7, .waiting = 42s}, now);
  worker_monitor.beat(1, 1, {.progress = 6}, now);
  worker_monitor.beat(2, 1, {.progress = 42}, now);
  worker_monitor.tick(now, {});
  EXPECT_THAT(asked.tasks, ElementsAre("1.0"));
}

TEST(HungTasksTest, ASilentWorkerAtServersIsReplacedAlsoWhenNobodyWaits) {
  Asked asked;
  WorkerMonitor worker_monitor(asked.function());
  auto now = std::chrono::steady_clock::time_point(1h);
  worker_monitor.attend(0, 3, 60s, now);
  worker_monitor.tick(now + 19s, {});
  EXPECT_THAT(asked.tasks, IsEmpty());
  worker_monitor.tick(now + 21s, {});
  worker_monitor.tick(now + 22s, {});
  EXPECT_THAT(asked.tasks, ElementsAre("0.2")) << "of its third start, once";
}

// It was in a call that has long been answered when it stopped: it says that it waits.
TEST(HungTasksTest, AWorkerThatOthersAwaitAtASumHangsThoughItSaysThatItWaits) {
  Asked asked;
  WorkerMonitor worker_monitor(asked.function());
  const auto begin = std::chrono::steady_clock::time_point(1h);
  for (int worker : {0, 1}) worker_monitor.attend(worker, 1, 60s, begin);
  for (const auto now : {begin + 39s, begin + 41s}) {
    EXPECT_THAT(asked.tasks, IsEmpty());
    worker_monitor.beat(0, 1, {.progress = 7, .waiting = 30s}, now);
    worker_monitor.beat(1, 1, {.progress = 0, .waiting = 30s}, now);
    worker_monitor.tick(now, {});
    worker_monitor.awaited(1, "a sum", begin, now, {});
  }
  EXPECT_THAT(asked.tasks, ElementsAre("1.0"));
}

// Ctrl-Z, then fg: what the workers said meanwhile has not been read.
TEST(HungTasksTest, TheCoordinatorsOwnPauseIsNoSilenceOfItsMembers) {
  Asked asked;
  FakeJob job(options(2, asked));
  job.start();
  job.advance(1s, {{0, computes()}, {1, computes()}});
  job.now += 10min;
  job.member_table.tick(job.now);
  job.advance(1s, {{0, computes()}, {1, computes()}});
  EXPECT_THAT(asked.tasks, IsEmpty());
  EXPECT_EQ(job.member_table.members(), 2);
}

// Each is reported, forms again at once and ends: 45,000 of them took 90 s.
TEST(HungTasksTest, GenerationsWithoutAStepComeSlowerAndThenNoMore) {
  FakeJob job(FakeJob::options(2));
  const auto begin = job.now;
  for (int generation = 1; generation <= 12; ++generation) {
    const auto zero = job.join(0, 100), one = job.join(1, 101);
    while (job.member_table.generation() < generation) job.advance(100ms);
    job.attend(zero);
    job.attend(one);
    job.member_table.report(generation, 0, Error(ErrorCode::kUnavailable, "the reason"), job.now);
    job.advance(200ms);
  }
  EXPECT_GT(job.now - begin, 20s);
  EXPECT_LT(job.now - begin, 60s);
  const auto zero = job.join(0, 100);
  job.join(1, 101);
  job.advance(100ms);
  EXPECT_THAT(job.error(zero),
              AllOf(HasSubstr("12 generations in a row"), HasSubstr("the reason")));
  EXPECT_EQ(job.member_table.generation(), 12);
}

// A kill in the first steps is no fault of the generation.
TEST(HungTasksTest, DeathsOfTasksDoNotCountAsGenerationsWithoutAStep) {
  FakeJob job(FakeJob::options(2));
  for (int generation = 1; generation <= 20; ++generation) {
    const auto zero = job.join(0, 100);
    const auto one = job.join(1, 200 + static_cast<uint64_t>(generation));
    ASSERT_EQ(job.member_table.generation(), generation);
    job.attend(zero);
    job.attend(one);
    job.member_table.detach(generation, 1, job.now);
  }
}

TEST(HungTasksTest, AFailedJobAnswersAllWithItsError) {
  FakeJob job(FakeJob::options(2));
  const auto waiting = job.join(0, 100);
  job.member_table.fail(Error(ErrorCode::kNotFound, "rank 1 has no file"));
  EXPECT_EQ(job.error(waiting), "rank 1 has no file");
  EXPECT_EQ(job.error(job.join(1, 101)), "rank 1 has no file");
  // Who runs does not need who fails.
  FakeJob running(FakeJob::options(2));
  running.start();
  running.member_table.fail(Error(ErrorCode::kNotFound, "a stray task"));
  EXPECT_THAT(running.faults(), IsEmpty());
  EXPECT_EQ(running.member_table.members(), 2);
}

}  // namespace
}  // namespace trireme
