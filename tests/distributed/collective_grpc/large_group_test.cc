// Groups in which no rank is connected to every other: connections come when they are needed, and
// faults reach everybody all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <set>
#include <thread>

#include "distributed/collective/doubling.h"
#include "tests/distributed/collective_grpc/meeting.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Sockets of this process, however many descriptors each has.
size_t count_sockets() {
  std::set<std::string> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone);
    if (target.starts_with("socket:")) sockets.insert(target);
  }
  return sockets.size();
}

void every_call(Communicator& communicator) {
  const int n = communicator.size();
  for (const int64_t count : {10, 40'000}) {
    for (const Summation summation : {Summation::kAny, Summation::kTree}) {
      std::vector<float> values(static_cast<size_t>(count), 1);
      communicator.all_reduce({values.data(), count, DType::kFloat32}, ReduceOp::kSum, summation);
      for (const float value : values) ASSERT_EQ(value, static_cast<float>(n));
    }
    std::vector<float> values(static_cast<size_t>(count), static_cast<float>(communicator.rank()));
    communicator.broadcast({values.data(), count, DType::kFloat32}, 3);
    for (const float value : values) ASSERT_EQ(value, 3);
  }
  std::vector<int32_t> mine{communicator.rank()}, all(static_cast<size_t>(n));
  communicator.all_gather({mine.data(), 1, DType::kInt32}, {all.data(), n, DType::kInt32});
  for (int rank = 0; rank < n; ++rank) ASSERT_EQ(all[static_cast<size_t>(rank)], rank);
  communicator.barrier();
}

TEST(GrpcLargeGroupTest, AllCollectivesTogetherOpenFewConnections) {
  for (const int n : {16, 23}) {
    Endpoints endpoints(n);
    const size_t before = count_sockets();
    std::atomic<size_t> sockets{0};
    const auto errors = run(endpoints, 1, {}, [&](Communicator& communicator) {
      every_call(communicator);
      if (communicator.rank() == 0) sockets.store(count_sockets());
      communicator.barrier();
    });
    for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
    // Both ends of each connection are here.
    const double each = static_cast<double>(sockets.load() - before) / n;
    EXPECT_LE(each, 2 * std::log2(n) + 4) << n;
    EXPECT_GT(each, 2);
  }
}

// The first all-reduce needs the partners of its own rounds, not those of what may come.
TEST(GrpcLargeGroupTest, ConnectsWhenAPartnerIsNeeded) {
  constexpr int kRanks = 16;
  Endpoints endpoints(kRanks);
  const size_t before = count_sockets();
  std::atomic<size_t> at_first{0}, after_sum{0};
  const auto errors = run(endpoints, 1, {}, [&](Communicator& communicator) {
    if (communicator.rank() == 0) at_first.store(count_sockets());
    check_sum(communicator);
    check_sum(communicator);  // all have made the first one
    if (communicator.rank() == 0) after_sum.store(count_sockets());
    check_sum(communicator);
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
  EXPECT_LE(at_first.load() - before, size_t{kRanks} * 4);  // others may be ahead
  EXPECT_EQ(after_sum.load() - before, size_t{kRanks} * 4);
}

// One rank ends in the middle: its neighbours see it, and all others hear it from neighbours.
TEST(GrpcLargeGroupTest, AFaultReachesEveryRankThroughItsNeighbours) {
  for (const int n : {13, 24}) {
    Endpoints endpoints(n);
    const auto start = Clock::now();
    const auto errors =
        run(endpoints, 1, {.timeout = milliseconds(30'000)}, [](Communicator& communicator) {
          check_sum(communicator);
          if (communicator.rank() == 5) return;
          check_sum(communicator);
          check_sum(communicator);
        });
    EXPECT_LT(Clock::now() - start, milliseconds(10'000));
    for (int rank = 0; rank < n; ++rank) {
      const auto& error = errors[static_cast<size_t>(rank)];
      if (rank == 5) continue;
      ASSERT_TRUE(error) << "rank " << rank << " of " << n;
      EXPECT_EQ(error->code(), ErrorCode::kUnavailable);
      EXPECT_THAT(error->what(), HasSubstr("rank 5 (host here")) << "rank " << rank;
      EXPECT_THAT(error->what(), HasSubstr("left the group")) << "rank " << rank;
    }
  }
}

// Whoever waits for it waits on through others, to whom most ranks have no connection.
TEST(GrpcLargeGroupTest, NamesTheRankThatIsLate) {
  for (const int64_t count : {1000, 300'000}) {
    constexpr int kRanks = 14;
    Endpoints endpoints(kRanks);
    std::atomic<int> failed_ranks{0};
    const auto errors =
        run(endpoints, 1, {.timeout = milliseconds(1500)}, [&](Communicator& communicator) {
          std::vector<int32_t> values(static_cast<size_t>(count), 1);
          const TensorSpan span{values.data(), count, DType::kInt32};
          communicator.all_reduce(span, ReduceOp::kSum);
          if (communicator.rank() == 6) {
            while (failed_ranks.load() < kRanks - 1) std::this_thread::yield();
            return;
          }
          try {
            communicator.all_reduce(span, ReduceOp::kSum);
          } catch (const Error&) {
            failed_ranks.fetch_add(1);
            throw;
          }
          failed_ranks.fetch_add(1);
        });
    for (int rank = 0; rank < kRanks; ++rank) {
      if (rank == 6) continue;
      const auto& error = errors[static_cast<size_t>(rank)];
      ASSERT_TRUE(error) << "rank " << rank;
      EXPECT_EQ(error->code(), ErrorCode::kDeadlineExceeded) << error->what();
      EXPECT_THAT(error->what(), HasSubstr("rank 6 (host here")) << "rank " << rank;
    }
  }
}

// Whoever never comes dials nobody: the deadline names it.
TEST(GrpcLargeGroupTest, NamesTheRankThatDoesNotConnect) {
  constexpr int kRanks = 12;
  Endpoints endpoints(kRanks);
  std::atomic<int> failed_ranks{0};
  const auto errors =
      run(endpoints, 1, {.timeout = milliseconds(1000)}, [&](Communicator& communicator) {
        if (communicator.rank() == 9) {
          while (failed_ranks.load() < kRanks - 1) std::this_thread::yield();
          return;
        }
        try {
          check_sum(communicator);
        } catch (const Error&) {
          failed_ranks.fetch_add(1);
          throw;
        }
      });
  for (int rank = 0; rank < kRanks; ++rank) {
    if (rank == 9) continue;
    ASSERT_TRUE(errors[static_cast<size_t>(rank)]) << "rank " << rank;
    EXPECT_THAT(errors[static_cast<size_t>(rank)]->what(), HasSubstr("rank 9 (host here")) << rank;
  }
}

// What waits for a rank that is not connected yet ends when the coordinator tells of a loss.
TEST(GrpcLargeGroupTest, AbortEndsTheWaitForAConnectionAtOnce) {
  constexpr int kRanks = 9;
  Endpoints endpoints(kRanks);
  std::atomic<bool> over{false};
  const auto errors =
      run(endpoints, 1, {.timeout = milliseconds(30'000)}, [&](Communicator& communicator) {
        if (communicator.rank() != 3) {
          while (!over.load()) std::this_thread::yield();
          return;
        }
        std::jthread other([&] {
          std::this_thread::sleep_for(milliseconds(50));
          communicator.abort(Error(ErrorCode::kUnavailable, "rank 7 was lost"));
        });
        const auto start = Clock::now();
        try {
          communicator.barrier();
        } catch (const Error&) {
          EXPECT_LT(Clock::now() - start, milliseconds(5000));
          over.store(true);
          throw;
        }
        over.store(true);
      });
  ASSERT_TRUE(errors[3]);
  EXPECT_THAT(errors[3]->what(), HasSubstr("rank 7 was lost"));
}

// Where nobody is told all addresses, a rank asks once for those that it will need.
TEST(GrpcLargeGroupTest, LooksUpTheAddressesOfItsPartnersTogether) {
  constexpr int kRanks = 17;
  Endpoints endpoints(kRanks);
  std::atomic<int> calls{0};
  const auto errors = run(endpoints, 1, {}, every_call, [&](Group& group) {
    const auto known = group.peers;
    for (Peer& peer : group.peers) {
      peer.address.clear();
      peer.pid = 0;
    }
    group.look_up = [&calls, known, rank = group.rank](const std::vector<int>& members) {
      calls.fetch_add(1);
      const std::vector<int> partners = partners_of(rank, kRanks);
      std::vector<Peer> found;
      for (const int member : members) {
        EXPECT_TRUE(std::ranges::binary_search(partners, member)) << rank << " asks for " << member;
        found.push_back(known[static_cast<size_t>(member)]);
      }
      return found;
    };
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
  EXPECT_LE(calls.load(), kRanks);
}

TEST(GrpcLargeGroupTest, GenerationsFollowEachOther) {
  Endpoints endpoints(10);
  for (int generation = 1; generation <= 4; ++generation) {
    for (const auto& error : run(endpoints, generation, {}, check_sum)) {
      EXPECT_FALSE(error) << error->what();
    }
  }
}

}  // namespace
}  // namespace trireme::testing
