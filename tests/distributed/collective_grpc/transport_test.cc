// What only the grpc backend does: messages in pieces, generations, bounded buffers, goodbyes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "tests/distributed/collective_grpc/meeting.h"
#include "tests/support/ranks.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

TEST(GrpcTransportTest, GenerationsFollowEachOtherOnOnePort) {
  Endpoints endpoints(3);
  for (int generation = 1; generation <= 5; ++generation) {
    for (const auto& error : run(endpoints, generation, {}, check_sum)) {
      EXPECT_FALSE(error) << error->what();
    }
  }
}

// One member is in the next generation already while another still ends the last one.
TEST(GrpcTransportTest, EarlyMemberOfTheNextGenerationWaits) {
  Endpoints endpoints(2);
  std::atomic<bool> dialled{false};
  auto first = std::jthread([&] {
    auto old = endpoints.all[0]->connect(endpoints.group(1, 0), {});
    check_sum(*old);
    while (!dialled.load()) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(20));
    old.reset();
    check_sum(*endpoints.all[0]->connect(endpoints.group(2, 0), {}));
  });
  check_sum(*endpoints.all[1]->connect(endpoints.group(1, 1), {}));
  dialled.store(true);
  check_sum(*endpoints.all[1]->connect(endpoints.group(2, 1), {}));
}

TEST(GrpcTransportTest, MemberOfAnEndedGenerationIsTold) {
  Endpoints endpoints(2);
  for (const auto& error : run(endpoints, 2, {}, check_sum)) EXPECT_FALSE(error) << error->what();
  try {
    endpoints.all[1]->connect(endpoints.group(1, 1), {.timeout = milliseconds(5000)});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("generation 1 is over"));
  }
}

// It may own the communicator, which would then never end, nor say goodbye.
TEST(GrpcTransportTest, WhatInterruptsTheConnectingIsNotKept) {
  Endpoints endpoints(2);
  const auto held = std::make_shared<int>();
  const CommunicatorOptions options{
      .interrupted = [held]() -> std::optional<Error> { return std::nullopt; }};
  const auto errors = run(endpoints, 1, options, [&](Communicator& communicator) {
    communicator.barrier();
    EXPECT_EQ(held.use_count(), 2) << "this test and its options";
    communicator.barrier();
  });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
}

// Data that is under way when a member leaves in order still arrives.
TEST(GrpcTransportTest, GoodbyeLosesNothing) {
  Endpoints endpoints(2);
  constexpr int64_t kCount = 3 << 20;
  for (int round = 1; round <= 5; ++round) {
    const auto errors = run(endpoints, round, {}, [&](Communicator& communicator) {
      std::vector<int32_t> values(kCount, communicator.rank() == 0 ? 7 : 0);
      if (communicator.rank() == 1) std::this_thread::sleep_for(milliseconds(20));
      communicator.broadcast({values.data(), kCount, DType::kInt32}, 0);
      EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 7 * kCount);
    });
    for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
  }
}

TEST(GrpcTransportTest, WhoHasLeftIsNamed) {
  Endpoints endpoints(2);
  const auto errors = run(endpoints, 1, {}, [](Communicator& communicator) {
    check_sum(communicator);
    if (communicator.rank() == 0) check_sum(communicator);
  });
  EXPECT_FALSE(errors[1]);
  ASSERT_TRUE(errors[0]);
  EXPECT_EQ(errors[0]->code(), ErrorCode::kUnavailable);
  EXPECT_THAT(errors[0]->what(), HasSubstr("rank 1 (host here"));
  EXPECT_THAT(errors[0]->what(), HasSubstr("left"));
}

// The sender is held back by flow control: what waits at a receiver that does not call is bounded.
TEST(GrpcTransportTest, BuffersLittleForAReceiverThatDoesNotTake) {
  Endpoints endpoints(2);
  constexpr int64_t kCount = 64 << 20;  // bytes
  std::vector<uint8_t> from(kCount, 3), to(kCount);
  const auto errors =
      run(endpoints, 1, {.timeout = milliseconds(20'000)}, [&](Communicator& communicator) {
        communicator.barrier();
        if (communicator.rank() == 0) {
          communicator.broadcast({from.data(), kCount / 4, DType::kInt32}, 0);
          return;
        }
        const size_t before = mallinfo2().uordblks;
        size_t most = 0;
        for (const auto end = Clock::now() + milliseconds(400); Clock::now() < end;) {
          most = std::max(most, static_cast<size_t>(mallinfo2().uordblks) - before);
          std::this_thread::sleep_for(milliseconds(5));
        }
        EXPECT_LT(most, size_t{24} << 20);
        communicator.broadcast({to.data(), kCount / 4, DType::kInt32}, 0);
      });
  for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
  EXPECT_EQ(from, to);
}

// After a deadline the caller's memory is free at once, though the peer took none of it.
TEST(GrpcTransportTest, DeadlineReleasesTheMemoryOfWhatWasSent) {
  Endpoints endpoints(2);
  std::atomic<bool> over{false};
  const auto errors =
      run(endpoints, 1, {.timeout = milliseconds(300)}, [&](Communicator& communicator) {
        communicator.barrier();
        if (communicator.rank() == 1) {
          while (!over.load()) std::this_thread::yield();
          return;
        }
        std::vector<uint8_t> values(64 << 20);
        const auto start = Clock::now();
        try {
          communicator.broadcast({values.data(), 16 << 20, DType::kInt32}, 0);
        } catch (const Error&) {
          over.store(true);
          EXPECT_LT(Clock::now() - start, milliseconds(1300));
          throw;
        }
        over.store(true);
      });
  ASSERT_TRUE(errors[0]);
  EXPECT_EQ(errors[0]->code(), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(errors[0]->what(), HasSubstr("rank 1 (host here"));
}

// A rank that nobody answers for: its port is closed.
TEST(GrpcTransportTest, PeerThatDoesNotListenIsNamed) {
  Endpoints endpoints(2);
  Group group = endpoints.group(1, 1);
  endpoints.all[0].reset();
  try {
    endpoints.all[1]->connect(group, {.timeout = milliseconds(200)});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("rank 0 (host here"));
    EXPECT_THAT(error.what(), HasSubstr("Connection refused"));
  }
}

TEST(GrpcTransportTest, LeavesNoDescriptorsAndThreads) {
  const auto once = [] {
    Endpoints endpoints(4);
    run(endpoints, 1, {}, check_sum);
    run(endpoints, 2, {}, [](Communicator& communicator) {
      check_sum(communicator);
      if (communicator.rank() == 2) throw failed("leaves");
      check_sum(communicator);  // fails
    });
  };
  once();
  const Leftovers before = count_leftovers();
  once();
  Leftovers after = count_leftovers();
  for (int i = 0; i < 200 && after != before; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    after = count_leftovers();
  }
  EXPECT_LE(after.threads, before.threads) << to_string(after);
  EXPECT_EQ(after.descriptors, before.descriptors) << to_string(after);
}

}  // namespace
}  // namespace trireme::testing
