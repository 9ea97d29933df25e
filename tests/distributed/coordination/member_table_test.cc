// Joining for the first time, refusals, and how a generation ends.
#include "distributed/coordination/member_table.h"

#include <gmock/gmock.h>

#include "tests/distributed/coordination/fake_job.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FakeJob;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

TEST(RosterTest, FormsTheFirstGenerationWhenAllAreThere) {
  FakeJob job(FakeJob::options(3));
  auto second = FakeJob::request(1, 3);
  second.progress = 7;
  second.address = "10.0.0.2:99";
  const auto c = job.join(2, 12), b = job.join(second, 11);
  EXPECT_FALSE(job.member_table.take_answer(c));
  EXPECT_EQ(job.member_table.members(), 0);
  const auto a = job.join(0, 10);
  const auto membership = job.membership(b);
  EXPECT_EQ(membership.group.generation, 1);
  EXPECT_EQ(membership.group.rank, 1);
  ASSERT_EQ(membership.group.size(), 3);
  EXPECT_EQ(membership.group.peers[1].address, "10.0.0.2:99");
  EXPECT_EQ(membership.group.peers[2].to_string(), "rank 2 (host n2, pid 402)");
  EXPECT_EQ(membership.state_source, 1);
  EXPECT_EQ(membership.progress, 7);
  EXPECT_EQ(job.membership(a).group.rank, 0);
  EXPECT_EQ(job.membership(c).group.rank, 2);
  EXPECT_EQ(job.member_table.members(), 3);
}

TEST(RosterTest, GivesTheLowestFreeRanksToThoseWhoWantAny) {
  FakeJob job(FakeJob::options(4));
  const auto any = job.join(-1, 1), two = job.join(2, 2), other = job.join(-1, 3),
             zero = job.join(0, 4);
  EXPECT_EQ(job.attend(any).group.rank, 1);
  EXPECT_EQ(job.attend(two).group.rank, 2);
  EXPECT_EQ(job.attend(other).group.rank, 3);
  EXPECT_EQ(job.attend(zero).group.rank, 0);
}

TEST(RosterTest, RefusesAnotherHandshakeNamingTheRankAndTheField) {
  FakeJob job(FakeJob::options(2));
  const auto first = job.join(0, 1);
  auto other = FakeJob::request(1, 2);
  other.handshake["graph"] = "9f8e";
  const std::string expected =
      "rank 1 (host n1, pid 401) has graph 9f8e, the job has 1a2b: all tasks must run the same "
      "program and job file on the same data";
  job.clear();
  EXPECT_EQ(job.error(job.join(other, 2)), expected);
  EXPECT_THAT(job.member_table.take_log(), ElementsAre("refused: " + expected));
  other = FakeJob::request(1, 2);
  other.handshake.erase("version");
  EXPECT_THAT(job.error(job.join(other, 3)), HasSubstr("has version nothing, the job has 1"));
  other = FakeJob::request(1, 2);
  other.handshake["collectives"] = "x";
  EXPECT_THAT(job.error(job.join(other, 4)), HasSubstr("has collectives x, the job has nothing"));
  // The one that waits is not disturbed.
  job.attend(job.join(1, 5));
  EXPECT_EQ(job.attend(first).group.size(), 2);
}

TEST(RosterTest, ShowsLongFieldsFromWhereTheyDiffer) {
  FakeJob job(FakeJob::options(2));
  auto request = FakeJob::request(0, 2);
  request.handshake["collectives"] = std::string(500, 'a') + "first" + std::string(500, 'z');
  job.join(request, 1);
  request = FakeJob::request(1, 2);
  request.handshake["collectives"] = std::string(500, 'a') + "other" + std::string(500, 'z');
  const std::string error = job.error(job.join(request, 2));
  EXPECT_THAT(error, AllOf(HasSubstr("…aaaaaaaaaaaaaaaaotherzzz"), HasSubstr("aaaafirstzzz")));
  EXPECT_LT(error.size(), 400u);
}

TEST(RosterTest, RefusesAnotherWorldSizeAndARankBeyondIt) {
  FakeJob job(FakeJob::options(2));
  EXPECT_THAT(job.error(job.join(FakeJob::request(1, 3), 1)),
              HasSubstr("rank 1 (host n1, pid 401) has world_size 3, the job has 2"));
  EXPECT_THAT(job.error(job.join(2, 2)), HasSubstr("rank 2 (host n2, pid 402) is not a rank of"));
  EXPECT_THAT(job.error(job.join(-2, 3)), HasSubstr("is not a rank of this job"));
}

// Who set what the job agrees on counts no more once everybody has gone before the job began.
TEST(RosterTest, ForgetsTheHandshakeOfATaskThatWentBeforeTheStart) {
  FakeJob job(FakeJob::options(2));
  auto wrong = FakeJob::request(0, 2);
  wrong.handshake["graph"] = "old";
  job.member_table.withdraw(job.join(wrong, 1));
  EXPECT_EQ(job.error(job.join(0, 2)), "");
}

TEST(RosterTest, RefusesASecondTaskOfARankUnlessTheFirstIsGone) {
  FakeJob job(FakeJob::options(2));
  const auto first = job.join(0, 1);
  auto second = job.join(0, 2);
  job.advance(300ms);
  EXPECT_EQ(job.error(second),
            "rank 0 (host n0, pid 400) cannot join: rank 0 is taken by rank 0 (host n0, pid 400): "
            "two tasks were started as rank 0");
  job.member_table.withdraw(first);
  const auto again = job.join(0, 3), other = job.join(1, 4);
  job.attend(again);
  job.attend(other);
  // The same while the group runs; it goes on.
  second = job.join(0, 5);
  const auto any = job.join(-1, 6);
  job.advance(200ms, {{0, {}}, {1, {}}});
  EXPECT_THAT(job.error(second), HasSubstr("two tasks were started as rank 0"));
  EXPECT_THAT(job.error(any), HasSubstr("all 2 workers are there"));
  job.advance(2s, {{0, {}}, {1, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());
  EXPECT_EQ(job.member_table.generation(), 1);
}

// A supervisor may start a task again before the end of the first one's connection is noticed.
TEST(RosterTest, WaitsUntilItIsKnownWhetherTheHolderOfARankLives) {
  FakeJob job(FakeJob::options(2));
  job.start();
  const auto restarted = job.join(1, 201);
  job.advance(1s, {{0, {}}});
  EXPECT_EQ(job.error(restarted), "");
  EXPECT_THAT(job.faults(), IsEmpty());
  job.member_table.detach(1, 1, job.now);
  job.join(0, 100);
  job.member_table.tick(job.now);
  EXPECT_EQ(job.attend(restarted).group.rank, 1);
}

// A call that the network repeated must not find its own place taken.
TEST(RosterTest, LetsTheSameTaskAskTwice) {
  FakeJob job(FakeJob::options(2));
  job.join(0, 1);
  const auto repeated = job.join(0, 1);
  const auto other = job.join(1, 2);
  EXPECT_EQ(job.attend(repeated).group.rank, 0);
  EXPECT_EQ(job.attend(other).group.size(), 2);
}

TEST(RosterTest, RefusesWhatIsOutOfBounds) {
  FakeJob job(FakeJob::options(2));
  auto request = FakeJob::request(0, 2);
  request.address = std::string(10'000, 'x');
  EXPECT_THAT(job.error(job.join(request, 1)), HasSubstr("address is too long"));
  request = FakeJob::request(0, 2);
  for (int i = 0; i < 100; ++i) request.handshake[std::to_string(i)] = "";
  EXPECT_THAT(job.error(job.join(request, 1)), HasSubstr("too many fields"));
  request = FakeJob::request(0, 2);
  request.progress = -1;
  EXPECT_THAT(job.error(job.join(request, 1)), HasSubstr("negative"));
  job.member_table.beat(1, 77, {}, job.now);
  job.member_table.beat(-5, 99, {}, job.now);
  job.member_table.detach(3, -1, job.now);
}

TEST(RosterTest, NamesThoseWhoDoNotComeInTime) {
  FakeJob job(FakeJob::options(4));
  const auto two = job.join(2, 1), any = job.join(-1, 2);
  job.advance(119s);
  EXPECT_FALSE(job.member_table.take_answer(two));
  job.advance(1s);
  const std::string expected = "waited 120.0 s for the job's 4 workers; ranks 1, 3 did not come";
  EXPECT_EQ(job.error(two), expected);
  EXPECT_EQ(job.error(any), expected);
  // Those who come later have their own time.
  const auto late = job.join(0, 3);
  job.advance(119s);
  EXPECT_FALSE(job.member_table.take_answer(late));
}

TEST(RosterTest, TellsTheOthersOnceWhereAMemberWasLost) {
  FakeJob job(FakeJob::options(3));
  job.start();
  const MemberBeat waiting{.entered = 5, .finished = 4, .step = 841, .what = "bucket 3 (a … b)"};
  job.member_table.beat(1, 2, waiting, job.now);
  job.member_table.detach(1, 2, job.now);
  const std::string sentence =
      "rank 2 (host n2, pid 402) was lost at step 841, in bucket 3 (a … b): its connection to the "
      "coordinator ended";
  EXPECT_THAT(job.faults(), ElementsAre("0: unavailable: " + sentence,
                                        "1: unavailable: " + sentence, HasSubstr("2: ")));
  job.member_table.detach(1, 2, job.now);
  job.member_table.report(1, 0, Error(ErrorCode::kUnavailable, "too late"), job.now);
  job.advance(1s);
  EXPECT_THAT(job.faults(), IsEmpty());
  EXPECT_EQ(job.member_table.members(), 0);
  EXPECT_EQ(std::string(job.member_table.ended(1)->what()), sentence);
}

// What others saw of a death is worth less than the death itself: their own connections may have
// been closed by those who noticed first.
TEST(RosterTest, PrefersALossToAReportOfTheSameMoment) {
  FakeJob job(FakeJob::options(3));
  job.start();
  job.member_table.report(1, 0, Error(ErrorCode::kUnavailable, "rank 1 closed its socket"),
                          job.now);
  job.now += 50ms;
  job.member_table.detach(1, 2, job.now);
  EXPECT_THAT(job.faults()[0], HasSubstr("rank 2 (host n2, pid 402) was lost before its first"));
  job.advance(1s);
  EXPECT_THAT(job.faults(), IsEmpty());
}

TEST(RosterTest, EndsTheGenerationOnAReport) {
  FakeJob job(FakeJob::options(2));
  job.start();
  job.member_table.report(1, 1, Error(ErrorCode::kDataLoss, "rank 0 sent\ngarbage"), job.now);
  job.member_table.report(1, 0, Error(ErrorCode::kUnavailable, "rank 1 is gone"), job.now);
  job.advance(200ms);
  EXPECT_THAT(job.faults(),
              ElementsAre("0: data loss: rank 1 (host n1, pid 401) reports: rank 0 sent garbage",
                          "1: data loss: rank 1 (host n1, pid 401) reports: rank 0 sent garbage"));
}

TEST(RosterTest, DoesNotTakeAGoodbyeForALoss) {
  FakeJob job(FakeJob::options(2));
  job.start();
  job.member_table.leave(1, 1);
  job.member_table.detach(1, 1, job.now);
  job.advance(100s, {{0, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());
  EXPECT_EQ(job.member_table.members(), 1);
}

// Stopped while it waited: the answer to its join reaches nobody.
TEST(RosterTest, LosesAMemberThatNeverBeats) {
  FakeJob job(FakeJob::options(2));
  const auto a = job.join(0, 1);
  job.join(1, 2);
  job.attend(a);
  job.advance(2100ms, {{0, {}}});
  EXPECT_THAT(job.faults()[0], HasSubstr("rank 1 (host n1, pid 401) was lost before its first "
                                         "collective: it has not been heard of since it joined"));
}

// A host that is cut off closes no connection.
TEST(RosterTest, LosesAMemberThatIsSilentLongerThanACollectiveMayTake) {
  FakeJob job(FakeJob::options(2));
  job.start();
  job.advance(60500ms, {{0, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());
  job.advance(200ms, {{0, {}}});
  EXPECT_THAT(job.faults()[0], HasSubstr("no sign of life for 60.6 s"));
}

TEST(RosterTest, ReportsAStallToAllAndThenGivesUp) {
  auto options = FakeJob::options(3);
  FakeJob job(options);
  job.start();
  job.mark();
  const MemberBeat inside{.entered = 9, .finished = 8, .step = 841, .what = "bucket 3 (x … y)"};
  const MemberBeat computing{.entered = 8, .finished = 8, .step = 840};
  job.advance(12s, {{0, inside}, {1, computing}, {2, inside}});
  EXPECT_THAT(job.faults(), IsEmpty());
  const std::string sentence =
      "rank 1 (host n1, pid 401) has been missing for 10.1 s at step 841, bucket 3 (x … y); "
      "waiting: ranks 0, 2";
  EXPECT_THAT(job.stalls, ElementsAre("0: " + sentence, "1: " + sentence, "2: " + sentence));
  EXPECT_THAT(job.member_table.take_log(), ElementsAre(sentence));
  job.advance(49s, {{0, inside}, {1, computing}, {2, inside}});
  EXPECT_THAT(job.faults(),
              ElementsAre(HasSubstr("0: deadline exceeded: rank 1 (host n1, pid 401) has been "
                                    "missing for 60.1 s"),
                          HasSubstr("1: deadline exceeded"), HasSubstr("2: deadline exceeded")));
  EXPECT_THAT(job.stalls, SizeIs(3 * 6));  // at 10, 20, … 60 s
}

}  // namespace
}  // namespace trireme
