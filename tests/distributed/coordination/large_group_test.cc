// What must not grow with the square of a group: what its members are told, what people read, and
// the time that the member table takes; and how long silence is borne on a slow machine.
#include <gmock/gmock.h>

#include "distributed/coordination/lateness.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.pb.h"
#include "tests/distributed/coordination/fake_job.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using testing::FakeJob;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

std::vector<int> numbered(const std::vector<int>& hosts) {
  std::map<int, int> numbers;
  std::vector<int> result;
  for (const int host : hosts) {
    result.push_back(numbers.emplace(host, static_cast<int>(numbers.size())).first->second);
  }
  return result;
}

TEST(LargeGroupTest, SaysWhoSharesAHostInAFewRuns) {
  std::vector<int> blocks, dealt, after_a_loss, odd;
  for (int rank = 0; rank < 4096; ++rank) {
    blocks.push_back(rank / 8);
    dealt.push_back(rank % 512);
    if (rank != 1001) after_a_loss.push_back(rank / 8);
    odd.push_back(rank * 7919 % 13);
  }
  for (const auto& hosts : {blocks, dealt, after_a_loss, odd, std::vector<int>{0}}) {
    const auto wanted = numbered(hosts);
    EXPECT_EQ(from_runs(to_runs(wanted), static_cast<int>(hosts.size())), wanted);
  }
  EXPECT_THAT(to_runs(blocks), SizeIs(1));
  EXPECT_THAT(to_runs(dealt), SizeIs(1));
  EXPECT_THAT(to_runs(after_a_loss), SizeIs(3));
}

// Whatever comes from a socket is bounded before memory is taken for it.
TEST(LargeGroupTest, RefusesRunsThatDoNotCoverTheGroup) {
  const std::vector<std::vector<HostRun>> senseless = {
      {},
      {{0, 1, 9, 1}},
      {{0, 1, 11, 1}},
      {{0, 1 << 30, 1 << 30, 1 << 30}},
      {{0, 2, 5, 1}, {0, 1, 1, 1}},
      {{-1, 1, 10, 1}},
      {{0, 0, 10, 1}},
      {{0, 1, 10, -1}},
      {{11, 1, 10, 1}},
  };
  for (const auto& runs : senseless) EXPECT_THROW(from_runs(runs, 10), Error);
}

TEST(LargeGroupTest, TellsAMemberOfThousandsAFewBytes) {
  std::vector<Peer> peers;
  for (int rank = 0; rank < 4096; ++rank) {
    peers.push_back({.rank = rank,
                     .host = str_cat("n", rank / 8),
                     .host_id = str_cat("id-of-n", rank / 8),
                     .pid = 100 + rank,
                     .address = str_cat("10.0.0.1:", rank)});
  }
  coordination::MembershipMessage message;
  describe_group(peers, &message);
  message.set_generation(3);
  message.set_rank(9);
  EXPECT_LT(message.ByteSizeLong(), 40u);
  const auto membership = to_membership(message, peers[9]);
  ASSERT_EQ(membership.group.size(), 4096);
  EXPECT_EQ(membership.group.peers[9].to_string(), "rank 9 (host n1, pid 109)");
  EXPECT_EQ(membership.group.peers[9].address, "10.0.0.1:9");
  EXPECT_EQ(membership.group.peers[8].host_id, membership.group.peers[15].host_id);
  EXPECT_NE(membership.group.peers[7].host_id, membership.group.peers[8].host_id);
  EXPECT_EQ(membership.group.peers[8].to_string(), "rank 8") << "not known before it is looked up";
}

TEST(LargeGroupTest, NamesTheFirstOfMany) {
  std::vector<int> ranks;
  for (int rank = 3; rank < 194; ++rank) ranks.push_back(rank);
  EXPECT_EQ(name_ranks(ranks), "ranks 3, 4, 5, 6 and 187 others");
  EXPECT_EQ(name_ranks({1, 2, 3, 4, 5, 6, 7, 8}), "ranks 1, 2, 3, 4, 5, 6, 7, 8");
}

// 4,096 joins, beats and losses, each with work for each member, would take minutes.
TEST(LargeGroupTest, FormsGenerationsOfThousandsInMilliseconds) {
  constexpr int kSize = 4096;
  FakeJob job(FakeJob::options(kSize, 2048));
  const auto start = std::chrono::steady_clock::now();
  std::vector<MemberTable::Ticket> tickets;
  for (int rank = 0; rank < kSize; ++rank) tickets.push_back(job.join(rank, 100 + rank));
  for (int loss = 0; loss < 5; ++loss) {
    ASSERT_EQ(job.member_table.generation(), loss + 1);
    EXPECT_THAT(job.member_table.take_answers(), SizeIs(kSize - loss));
    const int64_t generation = job.member_table.generation();
    for (int rank = 0; rank < job.member_table.size(); ++rank) {
      job.member_table.beat(generation, rank, {.entered = 1, .finished = 1}, job.now);
    }
    job.member_table.tick(job.now);
    job.member_table.detach(generation, 0, job.now);
    EXPECT_THAT(job.member_table.take_orders(), SizeIs(kSize - loss));
    for (int rank = loss + 1; rank < kSize; ++rank) job.join(rank, 100 + rank);
  }
  size_t text = 0;
  for (const auto& line : job.member_table.take_log()) text += line.size();
  EXPECT_LT(text, 100'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

// On a machine that is cut off from the network, half of the members fall silent at once.
TEST(LargeGroupTest, SaysInOneSentenceHowManyWereLost) {
  FakeJob job(FakeJob::options(40));
  job.start();
  std::map<int, MemberBeat> alive;
  for (int rank = 0; rank < 28; ++rank) alive[rank] = {};
  job.advance(61s, alive);
  const auto faults = job.faults();
  ASSERT_THAT(faults, SizeIs(40));
  EXPECT_THAT(faults[0],
              AllOf(HasSubstr("rank 28 (host n28, pid 428), rank 29 "),
                    HasSubstr(" and 8 others were lost, 12 of 40; the first of them before its "
                              "first collective: it has given no sign of life for 60.6 s")));
}

// Half of all members are heard of late: that is the machine, and not they.
TEST(LargeGroupTest, BearsSilenceLongerWhereTheMachineIsSlow) {
  for (const bool slow : {false, true}) {
    FakeJob job(FakeJob::options(8));
    std::vector<MemberTable::Ticket> tickets;
    for (int rank = 0; rank < 8; ++rank) tickets.push_back(job.join(rank, 100 + rank));
    job.member_table.take_answers();
    // On a quiet machine seven of eight have said at once that their place has reached them.
    if (!slow) {
      for (int rank = 0; rank < 7; ++rank) job.member_table.beat(1, rank, {}, job.now);
    }
    std::map<int, MemberBeat> alive;
    if (!slow) {
      for (int rank = 0; rank < 7; ++rank) alive[rank] = {};
    }
    job.advance(5s, alive);
    EXPECT_EQ(job.member_table.is_running(), slow);
    // But not for ever.
    job.advance(70s, alive);
    EXPECT_FALSE(job.member_table.is_running());
  }
}

TEST(LargeGroupTest, AMemberThatSaysHowLateItsThreadsRunIsWaitedForLonger) {
  FakeJob job(FakeJob::options(2));
  job.start();
  job.member_table.beat(1, 1, {}, job.now, 9s);
  job.advance(69s, {{0, {}}});
  EXPECT_THAT(job.faults(), IsEmpty());
  job.advance(2s, {{0, {}}});
  EXPECT_THAT(job.faults()[0], HasSubstr("rank 1"));
}

TEST(LargeGroupTest, LatenessFades) {
  Lateness lateness;
  const auto now = std::chrono::steady_clock::time_point(1h);
  lateness.note(800ms, now);
  lateness.note(100ms, now + 1s);
  EXPECT_EQ(lateness.value(now + 1s), 800ms);
  EXPECT_EQ(lateness.value(now + 5s), 400ms);
  EXPECT_EQ(lateness.value(now + 1h), 0ms);
  EXPECT_EQ(beat_interval(200ms, 64), 200ms);
  EXPECT_EQ(beat_interval(200ms, 4096), 2048ms);
}

}  // namespace
}  // namespace trireme
