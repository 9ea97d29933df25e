// The GPU as a device: memory and its limits, streams, events, and what a kernel finds in its data.
#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/device/kernel_spec.h"
#include "core/device/task_stream.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kMebibyte = size_t{1} << 20;

template <typename Work>
std::string error_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::unique_ptr<Device> make_gpu(int64_t limit_mib, bool growth = true) {
  return std::move(
      make_cuda_devices({.count = 1, .memory_limit_mib = limit_mib, .memory_growth = growth})
          .front());
}

class CudaDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override { TRIREME_NEEDS_GPU(); }
};

TEST_F(CudaDeviceTest, CopiesGoThereAndBack) {
  Device& device = *shared_gpu_set()->all().front();
  const Tensor values = random_tensor(DType::kFloat32, {1000}, -1, 1, 1);
  Tensor there(DType::kFloat32, {1000}, device.allocate(values.bytes()));
  EXPECT_FALSE(there.on_host());
  device.copy_from_host(there, values);
  EXPECT_EQ(difference(device.copy_to_host(there), values, 0), "");
}

TEST_F(CudaDeviceTest, TakesMemoryAsItIsNeeded) {
  const auto device = make_gpu(256);
  EXPECT_EQ(device->memory_use().reserved, 0u);
  const auto buffer = device->allocate(1000);
  EXPECT_GT(device->memory_use().reserved, 0u);
  EXPECT_LT(device->memory_use().reserved, 256 * kMebibyte);
}

TEST_F(CudaDeviceTest, TakesAllOfTheLimitAtOnceWhenAsked) {
  const auto device = make_gpu(64, false);
  EXPECT_EQ(device->memory_use().reserved, 64 * kMebibyte);
  const auto buffer = device->allocate(60 * kMebibyte);
  EXPECT_EQ(device->memory_use().reserved, 64 * kMebibyte);
}

TEST_F(CudaDeviceTest, SaysWhatIsFullAndWhatItsLimitIs) {
  const auto device = make_gpu(64);
  const auto buffer = device->allocate(40 * kMebibyte);
  EXPECT_THAT(error_of([&] { device->allocate(30 * kMebibyte); }),
              AllOf(HasSubstr("/device:GPU:0 has no room for 30 MiB"), HasSubstr("40 MiB in use"),
                    HasSubstr("limit 64 MiB"), HasSubstr("--gpu-memory-limit")));
}

// Neighbours that are free become one piece, in whatever order they were released.
TEST_F(CudaDeviceTest, JoinsWhatIsReleased) {
  const auto device = make_gpu(32, false);
  std::vector<std::shared_ptr<Buffer>> parts;
  for (int i = 0; i < 4; ++i) parts.push_back(device->allocate(8 * kMebibyte));
  EXPECT_THAT(error_of([&] { device->allocate(1); }), HasSubstr("no room"));
  parts[1].reset();
  parts[3].reset();
  EXPECT_THAT(error_of([&] { device->allocate(16 * kMebibyte); }), HasSubstr("no room"));
  parts[2].reset();
  const auto large = device->allocate(24 * kMebibyte);
  EXPECT_EQ(device->memory_use().in_use, 32 * kMebibyte);
  EXPECT_EQ(device->memory_use().peak, 32 * kMebibyte);
}

// A limit that is split into small blocks must not refuse a large one when all of it is free.
TEST_F(CudaDeviceTest, GivesFreeBlocksBackBeforeItIsFull) {
  const auto device = make_gpu(64);
  std::vector<std::shared_ptr<Buffer>> parts;
  for (int i = 0; i < 2; ++i) parts.push_back(device->allocate(20 * kMebibyte));
  parts.clear();
  EXPECT_NO_THROW(device->allocate(60 * kMebibyte));
}

TEST_F(CudaDeviceTest, VirtualGpusShareACardButNotTheirLimits) {
  auto devices = make_cuda_devices({.count = 1, .virtual_per_card = 2, .memory_limit_mib = 32});
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[1]->name(), "/device:GPU:1");
  EXPECT_EQ(cuda_card_of(*devices[0]), cuda_card_of(*devices[1]));
  const auto all = devices[0]->allocate(32 * kMebibyte);
  const Tensor values = random_tensor(DType::kFloat32, {64}, -1, 1, 2);
  Tensor other(DType::kFloat32, {64}, devices[1]->allocate(values.bytes()));
  devices[1]->copy_from_host(other, values);
  EXPECT_EQ(difference(devices[1]->copy_to_host(other), values, 0), "");
}

TEST_F(CudaDeviceTest, MoreCardsThanThereAreIsAnError) {
  EXPECT_THAT(
      error_of([] { make_cuda_devices({.count = 63}); }),
      AllOf(HasSubstr("63 GPUs"), HasSubstr("this machine has"), HasSubstr("--virtual-gpus")));
}

TEST_F(CudaDeviceTest, AFullPlanListsItsLargestValues) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "pixels", DType::kFloat32, {1024, 1024});
  const Value y = ops::multiply(x, x);
  Session session(graph, {.devices = make_gpu_set({.count = 1, .memory_limit_mib = 6})});
  const Tensor fed = Tensor::zeros(DType::kFloat32, {1024, 1024});
  EXPECT_THAT(error_of([&] {
                session.run({{x, fed}}, {y, x});
              }),
              AllOf(HasSubstr("the memory of a plan: /device:GPU:0 has no room for"),
                    HasSubstr("the largest:"), HasSubstr("pixels (Placeholder) f32[1024, 1024]"),
                    HasSubstr("4.0 MiB")));
}

TEST_F(CudaDeviceTest, AVariableThatDoesNotFitIsNamed) {
  Graph graph(core_op_table());
  Session session(graph, {.devices = make_gpu_set({.count = 1, .memory_limit_mib = 2})});
  EXPECT_THAT(
      error_of([&] {
        session.variables().set("embedding/table", Tensor::zeros(DType::kFloat32, {1024, 1024}));
      }),
      AllOf(HasSubstr("variable 'embedding/table' (f32[1024, 1024])"), HasSubstr("4 MiB")));
}

// Only the card can see what an index is; the message comes with the end of the run, once.
TEST_F(CudaDeviceTest, AnIndexOutOfRangeIsReportedWithItsPlace) {
  Graph graph(core_op_table());
  const Value table = ops::placeholder(graph, "table", DType::kFloat32, {5, 2});
  const Value indices = ops::placeholder(graph, "rows", DType::kInt32, {3});
  const Value y = ops::gather(table, indices);
  Session session(graph, {.devices = shared_gpu_set()});
  auto function = session.function({table, indices}, {y});
  const Tensor rows = random_tensor(DType::kFloat32, {5, 2}, -1, 1, 3);
  std::vector<Tensor> results;
  const auto bad = Tensor::from<int32_t>({3}, {1, 7, 2});
  EXPECT_THAT(error_of([&] {
                function->run(std::vector{rows, bad}, results);
              }),
              AllOf(HasSubstr("index 7 at position 1"), HasSubstr("[0, 5)")));
  const auto good = Tensor::from<int32_t>({3}, {1, 4, 2});
  EXPECT_NO_THROW(function->run(std::vector{rows, good}, results));
}

KernelArgs no_args() { return {.inputs = nullptr, .outputs = nullptr, .scratch = nullptr}; }

TEST_F(CudaDeviceTest, TheFirstErrorOfAStreamStaysUntilItIsSynchronized) {
  Device& device = *shared_gpu_set()->all().front();
  Stream& compute = device.stream(kComputeStream);
  Stream& communication = device.stream(kCommunicationStream);
  int ran = 0;
  const PreparedKernel fails{[](const KernelArgs&) { throw failed("the first error"); }};
  const PreparedKernel counts{[&](const KernelArgs&) { ++ran; }};
  const KernelArgs args = no_args();
  const auto event = device.make_event();
  compute.launch(fails, args);
  compute.launch(counts, args);
  compute.record(*event);
  communication.wait(*event);
  communication.launch(counts, args);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(error_of([&] { compute.synchronize(); }), "the first error");
  EXPECT_EQ(error_of([&] { communication.synchronize(); }), "the first error");
  EXPECT_EQ(error_of([&] { compute.synchronize(); }), "no error");
  compute.launch(counts, args);
  EXPECT_EQ(ran, 1);
}

TEST_F(CudaDeviceTest, StreamsOfTheHostAndOfTheCardWaitForEachOther) {
  Device& device = *shared_gpu_set()->all().front();
  Stream& compute = device.stream(kComputeStream);
  const auto there = device.allocate(4 * 1000);
  const auto here = device.allocate_staging(4 * 1000), back = device.allocate_staging(4 * 1000);
  TaskStream host("host");
  HostEvent filled;
  const auto copied = device.make_event();
  const PreparedKernel fill{[&](const KernelArgs&) {
    for (int i = 0; i < 1000; ++i) static_cast<int*>(here->data())[i] = i;
  }};
  int sum = 0;
  const PreparedKernel add{[&](const KernelArgs&) {
    for (int i = 0; i < 1000; ++i) sum += static_cast<int*>(back->data())[i];
  }};
  const KernelArgs args = no_args();
  host.launch(fill, args);
  host.record(filled);
  compute.wait(filled);
  compute.copy(there->data(), here->data(), 4000, CopyKind::kHostToDevice);
  compute.copy(back->data(), there->data(), 4000, CopyKind::kDeviceToHost);
  compute.record(*copied);
  host.wait(*copied);
  host.launch(add, args);
  host.synchronize();
  EXPECT_EQ(sum, 999 * 500);
}

}  // namespace
}  // namespace trireme::testing
