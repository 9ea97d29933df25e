// Reductions of the memory of GPUs: on as many cards as there are, or on the stand-in's (4 cards).
#include "distributed/collective/nccl/device_collective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "core/device/cuda/cuda.h"
#include "core/tensor/tensor.h"
#include "distributed/collective/reduce.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/ranks.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using testing::run_ranks;
using namespace std::chrono_literals;

// Before the driver starts: how many cards the stand-in has.
const bool kFourCards = setenv("TRIREME_FAKE_GPUS", "4", 0) == 0;

constexpr int64_t kCount = 1000;

#define SKIP_WITHOUT_GPUS(cards)                                                             \
  if (const std::string problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem; \
  if (static_cast<int>(cuda_cards().size()) < (cards))                                       \
  GTEST_SKIP() << "needs " << (cards) << " GPUs, found " << cuda_cards().size()

// What rank `rank` has: numbers whose sum depends on the order, in 32 bits.
Tensor values(DType dtype, int rank, int64_t count = kCount) {
  Tensor tensor(dtype, {count});
  for (int64_t i = 0; i < count; ++i) {
    const double x = std::sin(static_cast<double>(i * 7 + rank * 13)) * std::pow(10, rank % 3);
    switch (dtype) {
      case DType::kFloat64:
        tensor.flat<double>()[static_cast<size_t>(i)] = x;
        break;
      case DType::kFloat16:
        tensor.flat<Half>()[static_cast<size_t>(i)] = Half(static_cast<float>(x));
        break;
      case DType::kBFloat16:
        tensor.flat<BFloat16>()[static_cast<size_t>(i)] = BFloat16(static_cast<float>(x));
        break;
      case DType::kInt64:
        tensor.flat<int64_t>()[static_cast<size_t>(i)] = static_cast<int64_t>(x * 1000);
        break;
      case DType::kInt32:
        tensor.flat<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(x * 1000);
        break;
      default:
        tensor.flat<float>()[static_cast<size_t>(i)] = static_cast<float>(x);
    }
  }
  return tensor;
}

// The tree over all ranks, on the host.
Tensor expected(DType dtype, int ranks, ReduceOp op) {
  std::vector<Tensor> all;
  for (int rank = 0; rank < ranks; ++rank) all.push_back(values(dtype, rank));
  for (int distance = 1; distance < ranks; distance *= 2) {
    for (int k = 0; k + distance < ranks; k += 2 * distance) {
      reduce_into(dtype, op == ReduceOp::kMean ? ReduceOp::kSum : op,
                  all[static_cast<size_t>(k)].raw(), all[static_cast<size_t>(k + distance)].raw(),
                  kCount);
    }
  }
  if (op == ReduceOp::kMean) divide_by(dtype, all[0].raw(), kCount, ranks);
  return all[0];
}

double as_double(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::kFloat64:
      return tensor.flat<double>()[static_cast<size_t>(i)];
    case DType::kFloat16:
      return static_cast<double>(static_cast<float>(tensor.flat<Half>()[static_cast<size_t>(i)]));
    case DType::kBFloat16:
      return static_cast<double>(
          static_cast<float>(tensor.flat<BFloat16>()[static_cast<size_t>(i)]));
    case DType::kInt64:
      return static_cast<double>(tensor.flat<int64_t>()[static_cast<size_t>(i)]);
    case DType::kInt32:
      return tensor.flat<int32_t>()[static_cast<size_t>(i)];
    default:
      return static_cast<double>(tensor.flat<float>()[static_cast<size_t>(i)]);
  }
}

double tolerance(DType dtype) {
  if (dtype == DType::kBFloat16) return 2e-2;
  if (dtype == DType::kFloat16) return 4e-3;
  return dtype == DType::kFloat32 ? 1e-5 : 1e-12;
}

void expect_close(const Tensor& found, const Tensor& right, double relative) {
  for (int64_t i = 0; i < right.shape().elements(); ++i) {
    const double a = as_double(found, i), b = as_double(right, i);
    // Terms are up to 100: that is what rounding is relative to.
    ASSERT_NEAR(a, b, relative * (100 + std::abs(b))) << "element " << i;
  }
}

Tensor on_device(Device& device, const Tensor& host) {
  Tensor tensor(host.dtype(), host.shape(), device.allocate(host.bytes()));
  device.copy_from_host(tensor, host);
  return tensor;
}

// GPUs of this process, as strategy mirrored has them.
struct Mirrored {
  explicit Mirrored(int cards, int virtual_per_card = 1)
      : devices(make_cuda_devices({.count = cards, .virtual_per_card = virtual_per_card})) {
    for (const auto& device : devices) gpus.push_back(device.get());
    collectives = make_mirrored_collectives(gpus, 5s);
  }
  // One call of each rank.
  void all_reduce(std::vector<Tensor>& data, ReduceOp op, Summation summation) {
    for (size_t rank = 0; rank < gpus.size(); ++rank) {
      collectives[rank]->all_reduce(
          {data[rank].raw(), kCount, data[rank].dtype(), op, summation, &label},
          gpus[rank]->stream(kCommunicationStream));
    }
  }
  void settle() {
    for (size_t rank = 0; rank < gpus.size(); ++rank) {
      collectives[rank]->settle(gpus[rank]->stream(kCommunicationStream), "the test");
    }
  }
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<Device*> gpus;
  DeviceCollectives collectives;
  const std::string label = "bucket 0";
};

struct Layout {
  int cards, virtual_per_card;
};
class MirroredTest : public ::testing::TestWithParam<Layout> {};

TEST_P(MirroredTest, ReducesEveryTypeByEveryOperation) {
  SKIP_WITHOUT_GPUS(GetParam().cards);
  Mirrored group(GetParam().cards, GetParam().virtual_per_card);
  const int ranks = static_cast<int>(group.gpus.size());
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16,
                      DType::kInt32, DType::kInt64}) {
    for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kMin, ReduceOp::kMax}) {
      for (Summation summation : {Summation::kAny, Summation::kTree}) {
        std::vector<Tensor> data;
        for (int rank = 0; rank < ranks; ++rank) {
          data.push_back(on_device(*group.gpus[static_cast<size_t>(rank)], values(dtype, rank)));
        }
        group.all_reduce(data, op, summation);
        group.settle();
        const Tensor right = expected(dtype, ranks, op);
        for (int rank = 0; rank < ranks; ++rank) {
          const Tensor found =
              group.gpus[static_cast<size_t>(rank)]->copy_to_host(data[static_cast<size_t>(rank)]);
          // The tree has one result, to the bit.
          expect_close(found, right, summation == Summation::kTree ? 0 : tolerance(dtype));
          if (HasFatalFailure()) {
            FAIL() << name(dtype) << " " << name(op) << " rank " << rank << " of "
                   << group.collectives[0]->description();
          }
        }
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Layouts, MirroredTest,
                         ::testing::Values(Layout{1, 1}, Layout{1, 2}, Layout{1, 3}, Layout{2, 1},
                                           Layout{3, 1}, Layout{2, 2}),
                         [](const auto& info) {
                           return str_cat(info.param.cards, "CardsOf", info.param.virtual_per_card);
                         });

// A worker for each card: threads stand for processes.
void run_workers(int workers, const std::string& backend,
                 const std::function<void(Device&, DeviceCollective&, int)>& body,
                 milliseconds timeout = 20s) {
  auto hosts = make_local_group(workers, {.timeout = timeout});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        auto devices = make_cuda_devices({.count = workers});
        Device& device = *devices[static_cast<size_t>(rank)];
        auto collective = make_worker_collective(device, *hosts[static_cast<size_t>(rank)],
                                                 {.backend = backend, .timeout = timeout});
        body(device, *collective, rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class WorkersTest : public ::testing::TestWithParam<const char*> {};

TEST_P(WorkersTest, ReduceWhatTheirGpusHold) {
  constexpr int kWorkers = 3;
  SKIP_WITHOUT_GPUS(kWorkers);
  const std::string label = "bucket 0";
  run_workers(kWorkers, GetParam(), [&](Device& device, DeviceCollective& collective, int rank) {
    Stream& stream = device.stream(kCommunicationStream);
    for (Summation summation : {Summation::kAny, Summation::kTree}) {
      Tensor data = on_device(device, values(DType::kFloat32, rank));
      collective.all_reduce(
          {data.raw(), kCount, DType::kFloat32, ReduceOp::kSum, summation, &label}, stream);
      collective.settle(stream, "the test");
      expect_close(device.copy_to_host(data), expected(DType::kFloat32, kWorkers, ReduceOp::kSum),
                   summation == Summation::kTree ? 0 : 1e-5);
    }
  });
}

TEST_P(WorkersTest, ReplayWhatTheyRecorded) {
  constexpr int kWorkers = 2;
  SKIP_WITHOUT_GPUS(kWorkers);
  const std::string label = "bucket 0";
  run_workers(kWorkers, GetParam(), [&](Device& device, DeviceCollective& collective, int rank) {
    Stream& stream = device.stream(kComputeStream);
    Tensor data = on_device(device, values(DType::kFloat32, rank));
    const DeviceReduction what{data.raw(),     kCount,          DType::kFloat32,
                               ReduceOp::kSum, Summation::kAny, &label};
    collective.all_reduce(what, stream);
    collective.settle(stream, "the first time");
    stream.begin_recording();
    collective.all_reduce(what, stream);
    const auto recording = stream.end_recording();
    for (int i = 0; i < 3; ++i) {
      stream.replay(*recording);
      collective.settle(stream, "a replay");
    }
    // Each time doubles what is equal on both.
    Tensor right = expected(DType::kFloat32, kWorkers, ReduceOp::kSum);
    for (int64_t i = 0; i < kCount; ++i) right.flat<float>()[static_cast<size_t>(i)] *= 8;
    expect_close(device.copy_to_host(data), right, 1e-5);
  });
}

TEST_P(WorkersTest, SayWhenARankDoesNotCome) {
  constexpr int kWorkers = 2;
  SKIP_WITHOUT_GPUS(kWorkers);
  const std::string label = "bucket 0";
  run_workers(
      kWorkers, GetParam(),
      [&](Device& device, DeviceCollective& collective, int rank) {
        if (rank == 1) return std::this_thread::sleep_for(1500ms);
        Stream& stream = device.stream(kCommunicationStream);
        Tensor data = on_device(device, values(DType::kFloat32, rank));
        const DeviceReduction what{data.raw(),     kCount,          DType::kFloat32,
                                   ReduceOp::kSum, Summation::kAny, &label};
        collective.all_reduce(what, stream);
        try {
          collective.settle(stream, "the all-reduces of GPUs");
          ADD_FAILURE() << "nobody else took part";
        } catch (const Error& error) {
          EXPECT_TRUE(error.code() == ErrorCode::kDeadlineExceeded ||
                      error.code() == ErrorCode::kUnavailable)
              << error.what();
        }
        EXPECT_THROW(collective.all_reduce(what, stream), Error) << "it is dead after a fault";
        stream.synchronize();
      },
      700ms);
}

TEST_P(WorkersTest, EndWhenTheyAreAborted) {
  constexpr int kWorkers = 2;
  SKIP_WITHOUT_GPUS(kWorkers);
  const std::string label = "bucket 0";
  run_workers(kWorkers, GetParam(), [&](Device& device, DeviceCollective& collective, int rank) {
    if (rank == 1) return std::this_thread::sleep_for(500ms);
    Stream& stream = device.stream(kCommunicationStream);
    Tensor data = on_device(device, values(DType::kFloat32, rank));
    collective.all_reduce(
        {data.raw(), kCount, DType::kFloat32, ReduceOp::kSum, Summation::kAny, &label}, stream);
    std::thread coordinator([&] {
      std::this_thread::sleep_for(100ms);
      collective.abort(Error(ErrorCode::kUnavailable, "rank 1 is lost"));
    });
    const auto begin = std::chrono::steady_clock::now();
    try {
      collective.settle(stream, "the all-reduces of GPUs");
      ADD_FAILURE() << "nobody else took part";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "rank 1 is lost");
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    coordinator.join();
    stream.synchronize();
  });
}
INSTANTIATE_TEST_SUITE_P(Backends, WorkersTest, ::testing::Values("nccl", "auto", "grpc"),
                         [](const auto& info) { return std::string(info.param); });

TEST(WorkerCollectiveTest, AutoTakesPinnedMemoryWhereTwoShareACard) {
  SKIP_WITHOUT_GPUS(1);
  auto hosts = make_local_group(2, {.timeout = 10s});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      auto devices = make_cuda_devices({.count = 1});
      Communicator& host = *hosts[static_cast<size_t>(rank)];
      const auto collective = make_worker_collective(*devices[0], host, {.backend = "auto"});
      EXPECT_NE(collective->description().find("pinned"), std::string::npos)
          << collective->description();
      try {
        make_worker_collective(*devices[0], host, {.backend = "nccl"});
        ADD_FAILURE() << "NCCL does not take two ranks on one card";
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("on one card"), std::string::npos) << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What proves, wherever ranks train here, that all of them make the same calls in the same order.
TEST(WorkerCollectiveTest, RanksThatCallDifferentlyAreFound) {
  SKIP_WITHOUT_GPUS(2);
  if (fake_cuda::fake_cuda() == nullptr) GTEST_SKIP() << "NCCL itself would hang";
  const std::string label = "bucket 0";
  run_workers(2, "nccl", [&](Device& device, DeviceCollective& collective, int rank) {
    Stream& stream = device.stream(kCommunicationStream);
    Tensor data = on_device(device, values(DType::kFloat32, rank));
    collective.all_reduce(
        {data.raw(), kCount - rank, DType::kFloat32, ReduceOp::kSum, Summation::kAny, &label},
        stream);
    try {
      collective.settle(stream, "the test");
      ADD_FAILURE() << "rank " << rank << " reduced something else than the other";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("failed"), std::string::npos) << error.what();
    }
  });
  fake_cuda::fake_cuda()->revive();
}

}  // namespace
}  // namespace trireme
