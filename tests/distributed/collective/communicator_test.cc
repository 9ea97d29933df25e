// One suite for every communicator, over ranks that are threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "distributed/collective/make_communicator.h"
#include "tests/distributed/collective/conformance.h"
#include "tests/support/ranks.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Case = std::tuple<std::string, int>;  // backend, ranks

class CommunicatorTest : public ::testing::TestWithParam<Case> {
 protected:
  const std::string& backend() const { return std::get<0>(GetParam()); }
  int ranks() const { return std::get<1>(GetParam()); }

  void run(const RankFunction& rank) {
    const auto errors = run_ranks(ranks(), backend(), rank);
    for (size_t r = 0; r < errors.size(); ++r) {
      EXPECT_FALSE(errors[r]) << "rank " << r << ": " << errors[r]->what();
    }
  }
};

TEST_P(CommunicatorTest, AllReducesEveryTypeOperationAndSize) { run(check_all_reduce); }
TEST_P(CommunicatorTest, ReduceScattersEveryTypeOperationAndSize) { run(check_reduce_scatter); }
TEST_P(CommunicatorTest, AllGathersEveryTypeAndSize) { run(check_all_gather); }
TEST_P(CommunicatorTest, BroadcastsFromEveryRank) { run(check_broadcast); }
TEST_P(CommunicatorTest, MixesCallsWithoutConfusingThem) { run(check_mixture); }

// A rank that leaves a barrier early would see fewer arrivals than there are ranks.
TEST_P(CommunicatorTest, NoRankLeavesABarrierBeforeAllEnteredIt) {
  std::atomic<int> entered{0};
  std::atomic<int> early{0};
  run([&](Communicator& communicator) {
    for (int round = 1; round <= 50; ++round) {
      entered.fetch_add(1);
      communicator.barrier();
      if (entered.load() < round * communicator.size()) early.fetch_add(1);
    }
  });
  EXPECT_EQ(early.load(), 0);
}

// The second group finds nothing of the first: names, connections or threads.
TEST_P(CommunicatorTest, LeavesNothingBehind) {
  run(check_mixture);  // libraries keep some threads from their first use on
  const Leftovers before = count_leftovers();
  run(check_mixture);
  Leftovers after = count_leftovers();
  // Threads of a library end a moment after their owner.
  for (int i = 0; i < 200 && after != before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    after = count_leftovers();
  }
  EXPECT_LE(after.threads, before.threads) << to_string(after);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.shared_memory, before.shared_memory);
}

std::string test_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = str_cat(std::get<0>(info.param), "_", std::get<1>(info.param));
  for (char& c : name) {
    if (c == '+' || c == '/') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Backends, CommunicatorTest,
                         ::testing::Combine(::testing::Values("local", "memory", "shm", "grpc"),
                                            ::testing::Range(1, 6)),
                         test_name);
// No rank is connected to every other.
INSTANTIATE_TEST_SUITE_P(Large, CommunicatorTest,
                         ::testing::Values(Case{"memory", 9}, Case{"memory", 13},
                                           Case{"memory", 16}, Case{"grpc", 11}),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Combined, CommunicatorTest,
                         ::testing::Combine(::testing::Values("shm+grpc", "shm+grpc/mixed"),
                                            ::testing::Values(3, 4, 5)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Auto, CommunicatorTest, ::testing::Values(Case{"auto", 2}), test_name);

class BackendTest : public ::testing::TestWithParam<std::string> {};

TEST_P(BackendTest, AllReduces64MiB) {
  for (const auto& error : run_ranks(2, GetParam(), check_large)) {
    EXPECT_FALSE(error) << error->what();
  }
}

// Rank 2 is there but does not call: only the deadline can tell, and it must tell who.
TEST_P(BackendTest, NamesTheRankThatDoesNotCome) {
  const std::chrono::milliseconds timeout(700);
  std::atomic<int> failed_ranks{0};
  const auto start = std::chrono::steady_clock::now();
  const auto errors = run_ranks(
      4, GetParam(),
      [&](Communicator& communicator) {
        communicator.barrier();
        if (communicator.rank() == 2) {
          while (failed_ranks.load() < 3) std::this_thread::yield();
          return;
        }
        std::vector<float> values(100'000);
        try {
          communicator.all_reduce({values.data(), 100'000, DType::kFloat32}, ReduceOp::kSum);
        } catch (const Error&) {
          failed_ranks.fetch_add(1);
          // The communicator stays dead, with the first cause.
          EXPECT_THROW(communicator.barrier(), Error);
          throw;
        }
        failed_ranks.fetch_add(1);
      },
      {.timeout = timeout});
  EXPECT_LT(std::chrono::steady_clock::now() - start, timeout + std::chrono::seconds(1));
  for (const int r : {0, 1, 3}) {
    const auto& error = errors[static_cast<size_t>(r)];
    ASSERT_TRUE(error) << "rank " << r;
    EXPECT_THAT(error->what(), HasSubstr("rank 2 (")) << "rank " << r;
  }
}

// What is under way ends at once when another thread aborts it, and the cause is passed on.
TEST_P(BackendTest, AbortEndsABlockedCallAtOnce) {
  auto watch = std::make_shared<CollectiveWatch>();
  std::atomic<bool> over{false};
  const auto errors = run_ranks(2, GetParam(), [&](Communicator& communicator) {
    communicator.barrier();
    if (communicator.rank() == 1) {
      while (!over.load()) std::this_thread::yield();
      return;
    }
    communicator.set_watch(watch);
    std::chrono::steady_clock::time_point aborted_at;
    std::jthread other([&] {
      while (!watch->state().waiting()) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(60));  // let it fall asleep
      aborted_at = std::chrono::steady_clock::now();
      communicator.abort(Error(ErrorCode::kCancelled, "a new member waits"));
    });
    try {
      communicator.barrier();
    } catch (const Error&) {
      other.join();
      EXPECT_LT(std::chrono::steady_clock::now() - aborted_at, std::chrono::milliseconds(500));
      over.store(true);
      throw;
    }
    over.store(true);
  });
  ASSERT_TRUE(errors[0]);
  EXPECT_EQ(errors[0]->code(), ErrorCode::kCancelled);
  EXPECT_THAT(errors[0]->what(), HasSubstr("a new member waits"));
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendTest,
                         ::testing::Values("local", "shm", "grpc", "shm+grpc"),
                         [](const auto& info) {
                           return info.param == "shm+grpc" ? std::string("shm_grpc") : info.param;
                         });

TEST(MakeEndpointTest, UnknownBackendListsThoseThatAreBuilt) {
  try {
    make_endpoint({.backend = "carrier-pigeon", .secret = ""});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("carrier-pigeon"), HasSubstr("shm+grpc")));
  }
}

// A plan that differs between ranks would otherwise mix up tensors.
TEST(BoardTest, RanksThatMakeDifferentCallsAreTold) {
  for (const char* backend : {"local", "shm"}) {
    const auto errors = run_ranks(2, backend, [](Communicator& communicator) {
      std::vector<float> values(10);
      communicator.all_reduce({values.data(), 10 - communicator.rank(), DType::kFloat32},
                              ReduceOp::kSum);
    });
    for (const auto& error : errors) {
      ASSERT_TRUE(error) << backend;
      EXPECT_EQ(error->code(), ErrorCode::kDataLoss);
      EXPECT_THAT(error->what(),
                  AllOf(HasSubstr("all_reduce of 10"), HasSubstr("all_reduce of 9")));
    }
  }
}

}  // namespace
}  // namespace trireme::testing
