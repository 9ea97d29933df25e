// Groups of up to 256 ranks over queues in memory: whom a rank talks to, and what it computes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <thread>

#include "distributed/collective/doubling.h"
#include "distributed/collective/transport_communicator.h"
#include "tests/support/memory_transport.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;

// Remembers with whom a rank talks.
class CountingTransport final : public Transport {
 public:
  CountingTransport(std::unique_ptr<Transport> transport, std::set<int>* partners)
      : transport_(std::move(transport)), partners_(partners) {}

  std::string description() const override { return transport_->description(); }
  void start_send(int to, const void* data, size_t bytes) override {
    partners_->insert(to);
    transport_->start_send(to, data, bytes);
  }
  void finish_sends(TimePoint deadline) override { transport_->finish_sends(deadline); }
  void receive(int from, void* data, size_t bytes, TimePoint deadline) override {
    partners_->insert(from);
    transport_->receive(from, data, bytes, deadline);
  }
  void abort(const Error& cause) override { transport_->abort(cause); }

 private:
  const std::unique_ptr<Transport> transport_;
  std::set<int>* const partners_;
};

// Runs `body` on each of `n` ranks; with whom each talked.
using Body = std::function<void(int rank, Transport& transport)>;
std::vector<std::set<int>> run(int n, const Body& body) {
  auto transports = make_memory_transports(n);
  std::vector<std::set<int>> partners(static_cast<size_t>(n));
  std::vector<std::string> errors(static_cast<size_t>(n));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < n; ++rank) {
      const auto index = static_cast<size_t>(rank);
      threads.emplace_back([&, rank, index] {
        CountingTransport transport(std::move(transports[index]), &partners[index]);
        try {
          body(rank, transport);
        } catch (const Error& error) {
          errors[index] = error.what();
        }
      });
    }
  }
  for (int rank = 0; rank < n; ++rank) {
    EXPECT_EQ(errors[static_cast<size_t>(rank)], "") << "rank " << rank << " of " << n;
  }
  return partners;
}

std::vector<std::set<int>> run_communicators(int n,
                                             const std::function<void(Communicator&)>& body) {
  Group group;
  for (int rank = 0; rank < n; ++rank) group.peers.push_back({rank, "test", "", 1, ""});
  // The communicator owns its transport; this one outlives it.
  class Borrowed final : public Transport {
   public:
    explicit Borrowed(Transport& transport) : transport_(transport) {}
    std::string description() const override { return transport_.description(); }
    void start_send(int to, const void* data, size_t bytes) override {
      transport_.start_send(to, data, bytes);
    }
    void finish_sends(TimePoint deadline) override { transport_.finish_sends(deadline); }
    void receive(int from, void* data, size_t bytes, TimePoint deadline) override {
      transport_.receive(from, data, bytes, deadline);
    }
    void abort(const Error& cause) override { transport_.abort(cause); }

   private:
    Transport& transport_;
  };
  return run(n, [&](int rank, Transport& transport) {
    Group mine = group;
    mine.rank = rank;
    TransportCommunicator communicator(mine, {.timeout = milliseconds(60'000)},
                                       std::make_unique<Borrowed>(transport));
    body(communicator);
  });
}

float element(int rank, int64_t i) {
  return std::ldexp(static_cast<float>((rank * 7919 + i * 104'729) % 65'521 - 32'760), -13);
}

std::vector<float> tensor(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = element(rank, i);
  return values;
}

// The tree over all ranks, to the bit.
std::vector<float> tree_sum(int n, int64_t count) {
  std::vector<std::vector<float>> all;
  std::vector<const void*> leaves;
  for (int rank = 0; rank < n; ++rank) all.push_back(tensor(rank, count));
  for (const auto& one : all) leaves.push_back(one.data());
  std::vector<float> sum(static_cast<size_t>(count));
  combine_tree(DType::kFloat32, ReduceOp::kSum, sum.data(), leaves, count);
  return sum;
}

TensorSpan span(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), DType::kFloat32};
}

const std::vector<int>& group_sizes() {
  static const std::vector<int> sizes = [] {
    std::vector<int> all;
    for (int n = 2; n <= 18; ++n) all.push_back(n);
    for (const int n : {23, 31, 33, 48, 64, 65, 100, 127, 129, 256}) all.push_back(n);
    return all;
  }();
  return sizes;
}

// Connections cost each rank memory, descriptors and time: all collectives together need few.
TEST(LargeGroupTest, ARankTalksToFewOthersInAllCollectivesTogether) {
  for (const int n : group_sizes()) {
    auto partners = run_communicators(n, [&](Communicator& communicator) {
      for (const int64_t count : {3, 5000, 17'000}) {  // 12 bytes, 20 KB, 68 KB
        for (const Summation summation : {Summation::kAny, Summation::kTree}) {
          std::vector<float> values(static_cast<size_t>(count));
          communicator.all_reduce(span(values), ReduceOp::kSum, summation);
        }
      }
      for (const int64_t block : {1, 200}) {
        std::vector<float> one(static_cast<size_t>(block));
        std::vector<float> all(one.size() * static_cast<size_t>(n));
        communicator.all_gather(span(one), span(all));
        communicator.reduce_scatter(span(all), span(one), ReduceOp::kSum);
      }
      for (const int root : {0, 1, n / 2, n - 1}) {
        for (const int64_t count : {4, 5000}) {
          std::vector<float> values(static_cast<size_t>(count));
          communicator.broadcast(span(values), root);
        }
      }
      communicator.barrier();
    });
    // What is chosen for tensors that are too large for a test.
    const auto rings = run(n, [&](int rank, Transport& transport) {
      std::vector<std::byte> scratch;
      std::vector<float> values(static_cast<size_t>(n) * 16);
      const TransportCall call{
          .transport = transport,
          .rank = rank,
          .size = n,
          .deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60),
          .scratch = scratch};
      const Blocks blocks = even_blocks(static_cast<int64_t>(values.size()), n);
      ring_reduce_scatter(call, span(values), blocks, ReduceOp::kSum);
      ring_all_gather(call, span(values), blocks);
      chain_broadcast(call, span(values), n / 2);
    });
    for (int rank = 0; rank < n; ++rank) {
      auto& all = partners[static_cast<size_t>(rank)];
      all.insert(rings[static_cast<size_t>(rank)].begin(), rings[static_cast<size_t>(rank)].end());
      EXPECT_LE(static_cast<double>(all.size()), 2 * std::log2(n) + 4)
          << "rank " << rank << " of " << n;
      const std::vector<int> expected = partners_of(rank, n);
      for (const int partner : all) {
        EXPECT_TRUE(std::ranges::binary_search(expected, partner))
            << "rank " << rank << " of " << n << " talks to " << partner;
      }
    }
  }
}

// Deterministic training depends on it: whatever the number of ranks and the size, one order.
TEST(LargeGroupTest, TreeSumsHaveTheBitsOfTheTree) {
  for (const int n : group_sizes()) {
    for (const int64_t count : {1, 300, 16'411}) {  // the last one is above what is sent whole
      if (count > 300 && n > 129) continue;
      const std::vector<float> expected = tree_sum(n, count);
      run_communicators(n, [&](Communicator& communicator) {
        auto values = tensor(communicator.rank(), count);
        communicator.all_reduce(span(values), ReduceOp::kSum, Summation::kTree);
        EXPECT_EQ(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)), 0)
            << "rank " << communicator.rank() << " of " << n << ", " << count;
      });
    }
  }
}

TEST(LargeGroupTest, GathersScattersAndBroadcastsTheRightBlocks) {
  for (const int n : {9, 13, 16, 31, 64, 100}) {
    run_communicators(n, [&](Communicator& communicator) {
      const int rank = communicator.rank();
      for (const int64_t block : {1, 7, 700}) {
        auto mine = tensor(rank, block);
        std::vector<float> all(mine.size() * static_cast<size_t>(n));
        communicator.all_gather(span(mine), span(all));
        for (int64_t i = 0; i < block * n; ++i) {
          ASSERT_EQ(all[static_cast<size_t>(i)], element(static_cast<int>(i / block), i % block))
              << n;
        }
        // Small whole numbers: no order of adding rounds them.
        std::vector<float> given(all.size());
        for (size_t i = 0; i < given.size(); ++i) {
          given[i] = static_cast<float>((i + static_cast<size_t>(rank)) % 17);
        }
        const auto before = given;
        communicator.reduce_scatter(span(given), span(mine), ReduceOp::kSum);
        for (int64_t i = 0; i < block; ++i) {
          float sum = 0;
          for (int r = 0; r < n; ++r) sum += static_cast<float>((rank * block + i + r) % 17);
          ASSERT_EQ(mine[static_cast<size_t>(i)], sum) << n;
        }
        EXPECT_EQ(given, before);
      }
      for (const int root : {0, 5, n - 1}) {
        for (const int64_t count : {1, 20'000, 300'000}) {
          if (n > 31 && count > 20'000) continue;
          auto values = tensor(rank, count);
          communicator.broadcast(span(values), root);
          for (int64_t i = 0; i < count; i += 7) {
            ASSERT_EQ(values[static_cast<size_t>(i)], element(root, i)) << n;
          }
        }
      }
    });
  }
}

}  // namespace
}  // namespace trireme::testing
