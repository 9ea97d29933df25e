// Ranks that are real processes: killed, stopped, late, absent. Every other rank must say who it
// was, within the deadline plus one second, and nothing may stay behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>

#include "distributed/collective/make_communicator.h"
#include "tests/support/ranks.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kTimeout(1500);
constexpr int kRanks = 4;
constexpr int kFaulty = 2;

class FaultTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { before_ = count_leftovers(); }
  void TearDown() override { EXPECT_EQ(count_leftovers().shared_memory, before_.shared_memory); }

  // Each other rank ends with an error that names the faulty one, by `deadline` from `start` on.
  void expect_named(RankProcesses& ranks, Clock::time_point start, milliseconds deadline) {
    for (int r = 0; r < kRanks; ++r) {
      if (r == kFaulty) continue;
      const ProcessResult result = ranks[r].wait(std::chrono::seconds(15));
      EXPECT_LT(Clock::now() - start, deadline + milliseconds(1000)) << "rank " << r;
      EXPECT_EQ(result.exit_code, 75) << "rank " << r << ": " << result.err;
      EXPECT_THAT(result.err, HasSubstr("rank 2 (")) << "rank " << r;
      EXPECT_THAT(result.err, Not(HasSubstr("left:"))) << "rank " << r;
    }
  }

 private:
  Leftovers before_;
};

TEST_P(FaultTest, NamesTheKilledRankWithoutWaitingForTheDeadline) {
  RankProcesses ranks(TRIREME_RANK_PROGRAM, kRanks, GetParam(), "work", milliseconds(20'000));
  ASSERT_TRUE(ranks.wait_until_busy());
  const auto start = Clock::now();
  ranks[kFaulty].signal(SIGKILL);
  expect_named(ranks, start, milliseconds(0));
}

// A rank that is stopped, not dead, closes no socket: only the deadline can find it.
TEST_P(FaultTest, NamesTheStoppedRank) {
  RankProcesses ranks(TRIREME_RANK_PROGRAM, kRanks, GetParam(), "work", kTimeout);
  ASSERT_TRUE(ranks.wait_until_busy());
  const auto start = Clock::now();
  ranks[kFaulty].signal(SIGSTOP);
  expect_named(ranks, start, kTimeout);
}

TEST_P(FaultTest, NamesTheRankThatIsLate) {
  RankProcesses ranks(TRIREME_RANK_PROGRAM, kRanks, GetParam(), "late", kTimeout);
  ASSERT_TRUE(ranks.wait_until_busy());
  expect_named(ranks, Clock::now(), kTimeout);
}

TEST_P(FaultTest, NamesTheRankThatDoesNotConnect) {
  RankProcesses ranks(TRIREME_RANK_PROGRAM, kRanks, GetParam(), "absent", kTimeout);
  for (int r = 0; r < kRanks; ++r) {
    if (r == kFaulty) continue;
    const ProcessResult result = ranks[r].wait(std::chrono::seconds(15));
    EXPECT_EQ(result.exit_code, 75) << "rank " << r << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("rank 2 (")) << "rank " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FaultTest, ::testing::Values("shm", "grpc", "shm+grpc"),
                         [](const auto& info) {
                           return info.param == "shm+grpc" ? std::string("shm_grpc") : info.param;
                         });

class ProcessesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ProcessesTest, RealProcessesConform) {
  RankProcesses ranks(TRIREME_RANK_PROGRAM, 3, GetParam(), "conformance", milliseconds(30'000));
  for (int r = 0; r < 3; ++r) {
    const ProcessResult result = ranks[r].wait();
    EXPECT_EQ(result.exit_code, 0) << "rank " << r << ": " << result.err;
    EXPECT_THAT(result.err, Not(HasSubstr("left:"))) << "rank " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ProcessesTest, ::testing::Values("shm", "grpc"),
                         [](const auto& info) { return info.param; });

class MpiTest : public ::testing::TestWithParam<std::tuple<std::string, int>> {};

// MPI's ranks are mpirun's; the whole suite runs in them.
TEST_P(MpiTest, ConformsUnderMpirun) {
  const auto& [backend, ranks] = GetParam();
  const TemporaryDirectory folder;
  const ProcessResult result = testing::run(
      {"/usr/bin/mpirun", "-np", std::to_string(ranks), "--oversubscribe", "--allow-run-as-root",
       TRIREME_RANK_PROGRAM, folder.path(), "-1", "0", backend, "conformance", "30000"},
      // Open MPI keeps what MPI_Init made, and a sanitizer of leaks would report that.
      {"ASAN_OPTIONS=detect_leaks=0"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    Backends, MpiTest, ::testing::Combine(::testing::Values("mpi"), ::testing::Values(1, 2, 3, 5)),
    [](const auto& info) { return str_cat("ranks_", std::get<1>(info.param)); });
INSTANTIATE_TEST_SUITE_P(Combined, MpiTest, ::testing::Values(std::tuple{"shm+mpi", 4}),
                         [](const auto&) { return std::string("shm_mpi_4"); });

// Killed while the others still connect, rank 0 cannot remove the name that it made: they do.
TEST(ShmSegmentTest, IsRemovedWhenItsMakerIsKilled) {
  const Leftovers before = count_leftovers();
  for (int round = 0; round < 5; ++round) {
    RankProcesses ranks(TRIREME_RANK_PROGRAM, 3, "shm", "absent", milliseconds(20'000));
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (count_leftovers().shared_memory == before.shared_memory && Clock::now() < end) {
      std::this_thread::yield();
    }
    ranks[0].signal(SIGKILL);
    const ProcessResult result = ranks[1].wait(std::chrono::seconds(15));
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_THAT(result.err, HasSubstr("rank 0 ("));
    EXPECT_EQ(count_leftovers().shared_memory, before.shared_memory);
  }
}

// What a killed job, or anybody, left under the name is not believed: rank 0 replaces it, and the
// others wait for that.
TEST(ShmSegmentTest, ReplacesWhatLiesUnderItsName) {
  auto endpoint = make_endpoint({.backend = "shm", .secret = ""});
  Group group;
  group.generation = 1;
  group.job_id = str_cat("stale-", getpid());
  for (int r = 0; r < 2; ++r) {
    group.peers.push_back({r, "test", endpoint->host_id(), getpid(), ""});
  }
  // Alone, rank 0 waits in vain; meanwhile its name shows.
  const Leftovers before = count_leftovers();
  std::string name;
  {
    std::jthread alone(
        [&] { EXPECT_THROW(endpoint->connect(group, {.timeout = milliseconds(200)}), Error); });
    while (name.empty()) {
      const Leftovers now = count_leftovers();
      for (const std::string& one : now.shared_memory) {
        if (!std::ranges::count(before.shared_memory, one)) name = one;
      }
    }
  }
  for (const size_t bytes : {size_t{0}, size_t{3}, size_t{2} << 20}) {
    std::ofstream("/dev/shm/" + name) << std::string(bytes, 'x');
    std::jthread other([&, mine = group]() mutable {
      mine.rank = 1;
      endpoint->connect(mine, {.timeout = milliseconds(10'000)})->barrier();
    });
    std::this_thread::yield();
    endpoint->connect(group, {.timeout = milliseconds(10'000)})->barrier();
  }
  EXPECT_EQ(count_leftovers().shared_memory, before.shared_memory);
}

}  // namespace
}  // namespace trireme::testing
