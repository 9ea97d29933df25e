// Faults at chosen messages: no rank may hang or report success.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "distributed/collective/transport_communicator.h"
#include "tests/distributed/collective/conformance.h"
#include "tests/support/memory_transport.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;

// Ranks over queues in memory, of which rank 1 breaks at send `at`. What each ended with.
std::vector<std::optional<Error>> run_with_fault(int n, TransportFault fault, int at,
                                                 const std::function<void(Communicator&)>& rank) {
  Group group;
  for (int r = 0; r < n; ++r) group.peers.push_back({r, "test", "", 1, ""});
  auto transports = make_memory_transports(n);
  std::vector<std::optional<Error>> errors(static_cast<size_t>(n));
  std::vector<std::jthread> threads;
  for (int r = 0; r < n; ++r) {
    auto transport = std::move(transports[static_cast<size_t>(r)]);
    if (r == 1) transport = make_faulty_transport(std::move(transport), fault, at);
    threads.emplace_back([&, r, mine = group, moved = std::move(transport)]() mutable {
      mine.rank = r;
      TransportCommunicator communicator(mine, {.timeout = milliseconds(20'000)}, std::move(moved));
      try {
        rank(communicator);
      } catch (const Error& error) {
        errors[static_cast<size_t>(r)] = error;
      }
    });
  }
  threads.clear();
  return errors;
}

// One call of each kind, small and in pieces.
void every_call(Communicator& communicator) {
  const int n = communicator.size();
  for (const int64_t count : {5, 80'000}) {
    std::vector<float> one(static_cast<size_t>(count)), all(one.size() * static_cast<size_t>(n));
    const TensorSpan small{one.data(), count, DType::kFloat32};
    const TensorSpan large{all.data(), count * n, DType::kFloat32};
    communicator.all_reduce(large, ReduceOp::kSum);
    communicator.all_reduce(large, ReduceOp::kSum, Summation::kTree);
    communicator.reduce_scatter(large, small, ReduceOp::kMax);
    communicator.all_gather(small, large);
    communicator.broadcast(large, 1);
    communicator.barrier();
  }
}

TEST(TransportFaultTest, AFaultAtAnySendEndsEveryRankAtOnce) {
  for (const int n : {2, 3, 5}) {
    for (const TransportFault fault : {TransportFault::kThrow, TransportFault::kClose}) {
      // To the first send past the last: then nobody fails.
      bool failing = true;
      for (int at = 0; failing; ++at) {
        const auto start = std::chrono::steady_clock::now();
        const auto errors = run_with_fault(n, fault, at, every_call);
        EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(10'000));
        failing = errors[1].has_value();
        for (size_t r = 0; r < errors.size(); ++r) {
          // A rank that needed nothing more from rank 1 may have finished.
          if (!errors[r]) continue;
          EXPECT_TRUE(failing);
          EXPECT_EQ(errors[r]->code(), ErrorCode::kUnavailable);
          EXPECT_THAT(errors[r]->what(), ::testing::HasSubstr("faulty rank")) << n << " at " << at;
        }
        ASSERT_LT(at, 2000);
        if (failing && at == 0) {
          for (const auto& error : errors) EXPECT_TRUE(error);
        }
      }
    }
  }
}

TEST(TransportFaultTest, AMessageOfAnotherSizeIsNamed) {
  const auto errors = run_with_fault(2, TransportFault::kThrow, -1, [](Communicator& communicator) {
    std::vector<float> values(10);
    communicator.all_reduce({values.data(), 10 - communicator.rank(), DType::kFloat32},
                            ReduceOp::kSum);
  });
  ASSERT_TRUE(errors[0] || errors[1]);
  const Error& error = errors[0] ? *errors[0] : *errors[1];
  EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
  EXPECT_THAT(error.what(), ::testing::HasSubstr("in collective 1"));
}

}  // namespace
}  // namespace trireme::testing
