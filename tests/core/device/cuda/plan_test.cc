// Plans on a GPU: a step is one launch of a graph, allocates nothing, and the next batch travels
// beside it.
#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/updates.h"

namespace trireme::testing {
namespace {

using fake_cuda::LoggedOperation;
using fake_cuda::OperationKind;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kRows = 256, kColumns = 300;

// Gradient descent of w towards the rows of x; x is large enough to travel by itself.
struct Step {
  Graph graph{core_op_table()};
  Value x, rate, loss;
  Node* update;
  std::unique_ptr<Session> session;
  std::unique_ptr<Function> function;
  std::vector<Tensor> results;

  explicit Step(SessionOptions options) {
    x = ops::placeholder(graph, "x", DType::kFloat32, {-1, kColumns});
    rate = ops::placeholder(graph, "rate", DType::kFloat32, {});
    const Value w = ops::variable(graph, "w", DType::kFloat32, {kColumns});
    const Value error = ops::subtract(x, w);
    loss = ops::mean(ops::multiply(error, error));
    const Value gradient = ops::negate(ops::mean(error, {0}));
    update = &testing::apply_sgd(w, {}, rate, gradient, {});
    session = std::make_unique<Session>(graph, std::move(options));
    session->variables().set("w", Tensor::zeros(DType::kFloat32, {kColumns}));
    function = session->function({x, rate}, {loss}, {update});
  }
  float run(const Tensor& batch, const FeedsAhead& ahead = {}) {
    function->run(std::vector{batch, Tensor::scalar<float>(0.5f)}, results, ahead);
    return results[0].item<float>();
  }
};

Tensor batch(uint64_t seed, int64_t rows = kRows) {
  return random_tensor(DType::kFloat32, {rows, kColumns}, -1, 1, seed);
}

class CudaPlanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TRIREME_NEEDS_GPU();
    fake_ = fake_cuda::fake_cuda();
    if (fake_ != nullptr) fake_->take_complaints();
  }
  void TearDown() override {
    if (fake_ == nullptr) return;
    EXPECT_THAT(fake_->take_complaints(), IsEmpty());
  }
  fake_cuda::FakeCuda* fake_ = nullptr;  // null on a real card, which does not count
};

TEST_F(CudaPlanTest, ReplayComputesWhatLaunchesCompute) {
  Step recorded({.devices = shared_gpu_set()});
  Step launched({.devices = shared_gpu_set(), .record = false});
  Step host({});
  for (uint64_t i = 0; i < 6; ++i) {
    const float expected = launched.run(batch(i));
    EXPECT_EQ(recorded.run(batch(i)), expected) << "step " << i;
    EXPECT_NEAR(host.run(batch(i)), expected, 1e-4);
  }
  EXPECT_EQ(recorded.function->statistics().recordings, 1);
  EXPECT_EQ(launched.function->statistics().recordings, 0);
  EXPECT_EQ(
      difference(recorded.session->variables().get("w"), launched.session->variables().get("w"), 0),
      "");
}

TEST_F(CudaPlanTest, AStepIsOneLaunchAndAllocatesNothing) {
  if (fake_ == nullptr) GTEST_SKIP() << "only the fake driver counts";
  Step step({.devices = shared_gpu_set()});
  for (uint64_t i = 0; i < 3; ++i) step.run(batch(i));
  const Tensor next = batch(7);
  fake_->reset_statistics();
  for (int i = 0; i < 4; ++i) step.run(next);
  const fake_cuda::Statistics statistics = fake_->statistics();
  EXPECT_EQ(statistics.graph_launches, 4);
  EXPECT_EQ(statistics.graphs_instantiated, 0);
  EXPECT_EQ(statistics.allocations, 0);
  EXPECT_EQ(statistics.pinned_allocations, 0);
  const auto count = [](const auto& map, OperationKind kind) {
    const auto it = map.find(kind);
    return it == map.end() ? 0 : it->second;
  };
  EXPECT_EQ(count(statistics.operations, OperationKind::kKernel),
            count(statistics.graph_nodes, OperationKind::kKernel));
  // x, and the scalar rate by itself; the loss.
  EXPECT_EQ(count(statistics.operations, OperationKind::kHostToDevice), 4 * 2);
  EXPECT_EQ(count(statistics.operations, OperationKind::kDeviceToHost), 4);
}

// Another plan that needs more memory moves the arena: addresses of the recording are void.
TEST_F(CudaPlanTest, ARecordingIsMadeAnewWhenTheArenaMoves) {
  Step step({.devices = shared_gpu_set()}),
      expected({.devices = shared_gpu_set(), .record = false});
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(step.run(batch(i)), expected.run(batch(i)));
  const Tensor larger = batch(10, 4 * kRows);
  EXPECT_EQ(step.run(larger), expected.run(larger));
  for (uint64_t i = 3; i < 6; ++i) EXPECT_EQ(step.run(batch(i)), expected.run(batch(i)));
  EXPECT_EQ(step.function->statistics().recordings, 2);
}

TEST_F(CudaPlanTest, ABatchThatWasCopiedAheadIsUsed) {
  Step step({.devices = shared_gpu_set()}),
      expected({.devices = shared_gpu_set(), .record = false});
  std::vector<Tensor> batches;
  for (uint64_t i = 0; i < 6; ++i) batches.push_back(batch(i));
  for (size_t i = 0; i < batches.size(); ++i) {
    const bool has_next = i + 1 < batches.size();
    FeedsAhead ahead{.prefetched = i > 0};
    if (has_next) ahead.next = std::span(batches).subspan(i + 1, 1);
    EXPECT_EQ(step.run(batches[i], ahead), expected.run(batches[i])) << "step " << i;
  }
}

// What was announced may not come: the batch is then fed as always.
TEST_F(CudaPlanTest, ABatchThatWasAnnouncedAndDoesNotComeIsForgotten) {
  Step step({.devices = shared_gpu_set()}),
      expected({.devices = shared_gpu_set(), .record = false});
  const std::vector<Tensor> announced = {batch(1)};
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(step.run(batch(10 + i), {.next = announced}), expected.run(batch(10 + i)));
  }
}

TEST_F(CudaPlanTest, TheNextBatchTravelsBesideTheStep) {
  if (fake_ == nullptr) GTEST_SKIP() << "only the fake driver keeps a log";
  Step step({.devices = shared_gpu_set()});
  std::vector<Tensor> batches;
  for (uint64_t i = 0; i < 5; ++i) batches.push_back(batch(i));
  const auto run = [&](size_t i) {
    step.run(batches[i], {.next = std::span(batches).subspan(i + 1, 1), .prefetched = i > 0});
  };
  for (size_t i = 0; i < 3; ++i) run(i);
  // What was copied during the step before, and what is during this one, need not be there yet.
  Stream& transfers = *shared_gpu_set()->all().front()->transfer_stream();
  transfers.synchronize();
  fake_->start_log();
  run(3);
  transfers.synchronize();
  const std::vector<LoggedOperation> log = fake_->stop_log();
  const size_t bytes = batches[0].bytes();
  const LoggedOperation* ahead = nullptr;
  int compared = 0;
  for (const LoggedOperation& operation : log) {
    if (operation.kind != OperationKind::kHostToDevice || operation.bytes < bytes) continue;
    EXPECT_EQ(ahead, nullptr) << "it was copied twice";
    ahead = &operation;
  }
  ASSERT_NE(ahead, nullptr) << "nothing of the next batch was copied";
  for (const LoggedOperation& operation : log) {
    if (operation.kind != OperationKind::kKernel) continue;
    EXPECT_FALSE(fake_cuda::happens_before(log, operation.id, ahead->id)) << operation.name;
    EXPECT_FALSE(fake_cuda::happens_before(log, ahead->id, operation.id)) << operation.name;
    ++compared;
  }
  EXPECT_GT(compared, 2);
}

TEST_F(CudaPlanTest, SoftPlacementComputesOnTheHostWhatTheCardCannot) {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  table->add(
      {.name = "Twice", .min_inputs = 1, .max_inputs = 1, .infer = [](const InferenceContext& c) {
         return std::vector{c.input(0)};
       }});
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  kernels->add("Twice", "cpu", DType::kFloat32, [](const KernelSpec& spec) {
    const auto count = static_cast<size_t>(spec.output_shape().elements());
    return PreparedKernel{[count](const KernelArgs& args) {
      for (size_t i = 0; i < count; ++i) args.out<float>()[i] = 2 * args.in<float>(0)[i];
    }};
  });
  Graph graph(table);
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {100});
  const Value y = ops::negate(graph.add("Twice", {ops::negate(x)}, {}, "twice").output());
  const Tensor fed = random_tensor(DType::kFloat32, {100}, -1, 1, 1);
  SessionOptions options{.devices = shared_gpu_set(), .kernels = kernels};
  try {
    Session(graph, options).run({{x, fed}}, {y});
    ADD_FAILURE() << "there is no kernel for it";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("Twice 'twice' for f32 on /device:GPU:0"),
                                    HasSubstr("--soft-placement")));
  }
  options.soft_placement = true;
  const Tensor result = Session(graph, options).run({{x, fed}}, {y})[0];
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(result.as_double(i), 2 * fed.as_double(i));
}

}  // namespace
}  // namespace trireme::testing
