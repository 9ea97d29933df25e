// Generations after the first: who comes back, who is waited for, and with which rank.
#include <gmock/gmock.h>

#include "tests/distributed/coordination/fake_job.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using testing::FakeJob;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace std::chrono_literals;

TEST(ElasticTest, GoesOnWithFewerAsSoonAsTheSurvivorsAreBack) {
  FakeJob job(FakeJob::options(3, 2));
  job.start();
  job.member_table.detach(1, 1, job.now);
  auto request = FakeJob::request(2, 3);
  request.progress = 41;
  const auto c = job.join(request, 102);
  EXPECT_FALSE(job.member_table.take_answer(c));
  request.rank = 0;
  request.progress = 40;
  const auto a = job.join(request, 100);
  const auto membership = job.attend(c);
  EXPECT_EQ(membership.group.generation, 2);
  EXPECT_EQ(membership.group.size(), 2);
  EXPECT_EQ(membership.group.rank, 1);  // its home is still 2
  EXPECT_EQ(membership.state_source, 1);
  EXPECT_EQ(membership.progress, 41);
  EXPECT_EQ(job.attend(a).group.rank, 0);
}

TEST(ElasticTest, WaitsForAllWithoutMinWorkers) {
  FakeJob job(FakeJob::options(2));
  job.start();
  job.member_table.detach(1, 1, job.now);
  const auto a = job.join(0, 100);
  job.advance(30s);
  EXPECT_FALSE(job.member_table.take_answer(a));
  const auto b = job.join(1, 201);
  EXPECT_EQ(job.attend(a).group.size(), 2);
  EXPECT_EQ(job.attend(b).group.rank, 1);
}

// The whole way: one of three dies, two go on, it comes back.
TEST(ElasticTest, ComesBackToTheOldPlaceThroughOneMoreGeneration) {
  FakeJob job(FakeJob::options(3, 2));
  job.start();
  job.member_table.detach(1, 1, job.now);
  auto a = job.join(0, 100), c = job.join(2, 102);
  job.attend(a);
  EXPECT_EQ(job.attend(c).group.rank, 1);
  job.clear();
  job.now += 300ms;
  auto request = FakeJob::request(1, 3);
  request.incarnation = 1;
  auto b = job.join(request, 201);
  job.advance(500ms, {{0, {}}, {1, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());  // not at once: a generation lasts a second at least
  job.advance(300ms, {{0, {}}, {1, {}}});
  EXPECT_THAT(job.faults(), ElementsAre("0: cancelled: a worker joins: rank 1 (host n1, pid 401)",
                                        "1: cancelled: a worker joins: rank 1 (host n1, pid 401)"));
  a = job.join(0, 100);
  EXPECT_FALSE(job.member_table.take_answer(b));
  c = job.join(1, 102);  // rank 1 of generation 2, at home in 2
  EXPECT_EQ(job.attend(a).group.rank, 0);
  EXPECT_EQ(job.attend(b).group.rank, 1);
  EXPECT_EQ(job.attend(c).group.rank, 2);
  EXPECT_EQ(job.member_table.generation(), 3);
}

TEST(ElasticTest, RefusesAStartThatWasReplaced) {
  FakeJob job(FakeJob::options(2));
  auto request = FakeJob::request(1, 2);
  request.incarnation = 4;
  const auto a = job.join(0, 100), b = job.join(request, 101);
  job.attend(a), job.attend(b);
  job.member_table.detach(1, 1, job.now);
  request.incarnation = 3;
  EXPECT_THAT(job.error(job.join(request, 90)), HasSubstr("start 4 has been here"));
  request.incarnation = 5;
  EXPECT_EQ(job.error(job.join(request, 110)), "");
}

// A survivor that is in the middle of a step is waited for, but not for ever; when it comes after
// all it is let in.
TEST(ElasticTest, WaitsAFewSecondsForASlowSurvivor) {
  FakeJob job(FakeJob::options(4, 2));
  job.start();
  job.member_table.detach(1, 3, job.now);
  auto a = job.join(0, 100), b = job.join(1, 101);
  job.advance(4900ms);
  EXPECT_FALSE(job.member_table.take_answer(a));
  job.advance(200ms);
  EXPECT_EQ(job.attend(a).group.size(), 2);
  job.attend(b);
  job.clear();
  const auto c = job.join(2, 102);
  job.advance(1100ms, {{0, {}}, {1, {}}});
  EXPECT_THAT(job.faults()[0], HasSubstr("cancelled: a worker joins: rank 2"));
  a = job.join(0, 100), b = job.join(1, 101);
  EXPECT_EQ(job.attend(c).group.rank, 2);
}

TEST(ElasticTest, DoesNotWaitForASurvivorThatDiesBetweenGenerations) {
  FakeJob job(FakeJob::options(4, 2));
  job.start();
  job.member_table.detach(1, 3, job.now);
  const auto a = job.join(0, 100);
  job.join(1, 101);
  job.advance(300ms);
  EXPECT_FALSE(job.member_table.take_answer(a));
  job.member_table.detach(1, 2, job.now);
  job.member_table.tick(job.now);
  EXPECT_EQ(job.attend(a).group.size(), 2);
}

TEST(ElasticTest, FailsWhenTooFewAreLeft) {
  FakeJob job(FakeJob::options(3, 2));
  job.start();
  job.member_table.detach(1, 1, job.now);
  job.member_table.detach(1, 2, job.now);
  const auto a = job.join(0, 100);
  job.advance(120s);
  EXPECT_THAT(job.error(a), HasSubstr("ranks 1, 2 did not come"));
}

// All die and are started again: nobody is left to go on from, so all are waited for; but at the
// end of the time the job goes on with those that came.
TEST(ElasticTest, WaitsForAllAfterAllWereLost) {
  FakeJob job(FakeJob::options(3, 2));
  job.start();
  for (int rank : {0, 1, 2}) job.member_table.detach(1, rank, job.now);
  const auto a = job.join(0, 200);
  job.join(1, 201);
  job.advance(119s);
  EXPECT_FALSE(job.member_table.take_answer(a));
  job.advance(1s);
  EXPECT_EQ(job.attend(a).group.size(), 2);
}

TEST(ElasticTest, TreatsAMemberThatJoinsAgainAsHavingGivenUp) {
  FakeJob job(FakeJob::options(2));
  job.start();
  const auto a = job.join(0, 100);
  EXPECT_THAT(job.faults()[1], HasSubstr("1: unavailable: rank 0 (host n0, pid 400) has given up "
                                         "generation 1 before its first collective"));
  const auto b = job.join(1, 101);
  EXPECT_EQ(job.attend(a).group.generation, 2);
  EXPECT_EQ(job.attend(b).group.generation, 2);
}

// A stopped process that goes on after it was given up: it learns that from its own stream.
TEST(ElasticTest, DoesNotWaitForAStoppedMemberButTakesItBack) {
  FakeJob job(FakeJob::options(3, 2));
  job.start();
  job.mark();
  const MemberBeat inside{.entered = 1, .finished = 0, .step = 1, .what = "b"};
  job.advance(60200ms, {{0, inside}, {1, inside}});
  EXPECT_THAT(job.faults().back(),
              HasSubstr("2: deadline exceeded: rank 2 (host n2, pid 402) has"));
  auto a = job.join(0, 100), b = job.join(1, 101);
  EXPECT_EQ(job.attend(a).group.size(), 2);
  job.attend(b);
  job.now += 1s;
  const auto c = job.join(2, 102);
  EXPECT_THAT(job.faults(), Not(IsEmpty()));
  a = job.join(0, 100), b = job.join(1, 101);
  EXPECT_EQ(job.attend(c).group.rank, 2);
}

// It has not even said that its place has reached it.
TEST(ElasticTest, TellsAMemberThatHasNotBeatenThatItsGenerationIsOver) {
  FakeJob job(FakeJob::options(2));
  const auto a = job.join(0, 1);
  job.join(1, 2);
  job.attend(a);
  job.member_table.detach(1, 0, job.now);
  EXPECT_THAT(job.faults()[1], HasSubstr("1: unavailable: rank 0 (host n0, pid 400)"));
}

// One that has finished its work must not be waited for by those who still work.
TEST(ElasticTest, KeepsAJoinerWaitingThatWouldNotMakeTheGroupComplete) {
  FakeJob job(FakeJob::options(3));
  job.start();
  job.member_table.leave(1, 1);
  job.member_table.leave(1, 2);
  const auto b = job.join(1, 201);
  job.advance(100s, {{0, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());
  job.advance(20s, {{0, {}}});
  EXPECT_THAT(job.error(b), HasSubstr("rank 2 did not come"));
}

}  // namespace
}  // namespace trireme
