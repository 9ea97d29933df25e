// What a strategy promises: the losses of one process on the same global batch, whatever the number
// of workers, devices and micro-batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <thread>

#include "core/data/digits.h"
#include "core/device/kernel.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/whole_variable_optimizers.h"
#include "core/runtime/built_in_kernels.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/strategies.h"
#include "tests/support/strategy_group.h"

namespace trireme {
namespace {

using namespace nn;

constexpr int64_t kBatch = 32;

struct RunOptions {
  const StrategyDef* kind = &kOneDeviceStrategy;
  StrategyOptions strategy;
  int workers = 1;
  bool batch_norm = false;
  bool dropout = true;
  bool weight_rules = false;  // penalties and constraints
  int64_t examples = 500;     // 15 batches of 32 and one of 20
  int64_t epochs = 2;
  std::shared_ptr<const Optimizer> optimizer = std::make_shared<Adam>();
  Precision precision = Precision::kFloat32;
  double loss_scale = 32768;  // at first
};

struct RunResult {
  std::vector<double> losses;  // of each step
  StateMap weights;
  double validation = 0;
  float skipped_steps = 0;
};

// The losses of each step, as every worker sees them.
class Losses : public Callback {
 public:
  explicit Losses(std::vector<double>& losses) : losses_(losses) {}
  void on_batch_end(Training&, Logs logs) override { losses_.push_back(*logs[0].value); }

 private:
  std::vector<double>& losses_;
};

void add_layers(Model& model, const RunOptions& run) {
  Conv2DOptions convolution{
      .filters = 4, .kernel_h = 5, .kernel_w = 5, .stride_h = 2, .stride_w = 2};
  DenseOptions logits{.units = 10};
  if (run.weight_rules) {
    convolution.kernel_regularizer = l2(0.1);
    convolution.activity_regularizer = l1(0.01);
    logits.kernel_regularizer = orthogonal_columns(0.5);
    logits.kernel_constraint = max_norm(0.9);
  }
  model.add<Conv2D>(convolution);
  if (run.batch_norm) model.add<BatchNorm>();
  model.add<ActivationLayer>({.activation = Activation::kRelu});
  model.add<Flatten>();
  if (run.dropout) model.add<Dropout>({.rate = 0.3});
  model.add<Dense>(logits);
}

RunResult train_worker(const RunOptions& run, const Strategy* strategy, int rank,
                       std::vector<std::unique_ptr<Communicator>> communicators) {
  const auto slots = std::make_shared<CommunicatorSlots>();
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*kernels, slots);
  slots->set(std::move(communicators));
  const int devices =
      strategy == nullptr ? 1 : static_cast<int>(strategy->options().devices.size());
  Model model({.seed = 3,
               .session = {.devices = make_device_set("cpu", devices), .kernels = kernels},
               .ops = distributed_op_table(),
               .precision = run.precision,
               .loss_scale = {.initial = run.loss_scale}});
  add_layers(model, run);
  CompileOptions compile{.optimizer = run.optimizer,
                         .loss = sparse_categorical_cross_entropy(),
                         .metrics = {sparse_categorical_accuracy()}};
  RunResult result;
  FitOptions fit{
      .epochs = run.epochs, .callbacks = {std::make_shared<Losses>(result.losses)}, .progress = {}};
  const data::Dataset digits = data::digits(data::Split::kTest, 1).dataset();
  const data::Dataset train = digits.take(run.examples).shuffle(7);
  std::optional<testing::StrategyGroup> group;
  if (strategy != nullptr) {
    compile.build_gradients = [strategy](TrainGraph& graph) { strategy->build_gradients(graph); };
    compile.rewrite_updates = [strategy](TrainGraph& graph) { strategy->rewrite_updates(graph); };
    group.emplace(*strategy, run.examples, kBatch, rank, run.workers);
    if (run.workers > 1) {
      group->set_sum([&](std::span<double> sums) {
        slots->at(0).all_reduce({sums.data(), static_cast<int64_t>(sums.size()), DType::kFloat64},
                                ReduceOp::kSum);
      });
    }
    fit.group = &*group;
  }
  fit.validation = digits.skip(1000).take(101).shard(run.workers, rank).batch(16);
  model.compile(std::move(compile));
  const History history = model.fit(train.batch_part(kBatch, rank, run.workers).repeat(), [&] {
    fit.steps_per_epoch = (run.examples + kBatch - 1) / kBatch;
    return std::move(fit);
  }());
  result.weights = model.weights();
  result.validation = history.last("val_loss");
  if (run.precision == Precision::kMixedFloat16) {
    result.skipped_steps =
        model.session().variables().get("loss_scale/skipped_steps").flat<float>()[0];
  }
  return result;
}

// Trains with `run.workers` threads, each a worker with a model of its own; every worker must see
// the same losses.
RunResult train(const RunOptions& run) {
  const auto strategy = run.kind->make(run.strategy);
  auto group = make_local_group(run.workers * strategy->ranks(),
                                {.timeout = std::chrono::milliseconds(60'000)});
  std::vector<RunResult> results(static_cast<size_t>(run.workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < run.workers; ++rank) {
    std::vector<std::unique_ptr<Communicator>> mine;
    for (int i = 0; i < strategy->ranks(); ++i) {
      mine.push_back(std::move(group[static_cast<size_t>(rank * strategy->ranks() + i)]));
    }
    threads.emplace_back([&, rank, mine = std::move(mine)]() mutable {
      results[static_cast<size_t>(rank)] = train_worker(run, strategy.get(), rank, std::move(mine));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const RunResult& other : results) {
    EXPECT_EQ(other.losses, results[0].losses);
    EXPECT_EQ(other.validation, results[0].validation);
    EXPECT_EQ(other.skipped_steps, results[0].skipped_steps);
    for (const auto& [name, value] : results[0].weights) {
      EXPECT_TRUE(std::ranges::equal(value.flat<float>(), other.weights.at(name).flat<float>()))
          << name << " differs between workers";
    }
  }
  return results[0];
}

RunResult train_alone(const RunOptions& run) { return train_worker(run, nullptr, 0, {}); }

void expect_close(const RunResult& found, const RunResult& expected, double tolerance = 1e-4) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], expected.losses[i], tolerance * std::abs(expected.losses[i]))
        << "step " << i + 1;
  }
  EXPECT_NEAR(found.validation, expected.validation, tolerance * expected.validation);
}

class StrategyTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, StrategyTest, ::testing::Values(1, 2, 3, 4));

TEST_P(StrategyTest, WorkersFollowOneProcess) {
  RunOptions run{.kind = &kMultiWorkerStrategy};
  const RunResult alone = train_alone(run);
  run.workers = GetParam();
  expect_close(train(run), alone);
}

TEST_P(StrategyTest, MicroBatchesFollowOneProcess) {
  RunOptions run{.strategy = {.micro_batches = GetParam()}};
  expect_close(train(run), train_alone(run));
}

TEST_P(StrategyTest, MirroredDevicesFollowOneProcess) {
  RunOptions run{.kind = &kMirroredStrategy};
  for (int i = 0; i < GetParam(); ++i) {
    run.strategy.devices.push_back("/device:CPU:" + std::to_string(i));
  }
  expect_close(train(run), train_alone(run));
}

TEST_P(StrategyTest, CentralStorageFollowsOneProcess) {
  RunOptions run{.kind = &kCentralStorageStrategy};
  for (int i = 0; i < GetParam(); ++i) {
    run.strategy.devices.push_back("/device:CPU:" + std::to_string(i));
  }
  expect_close(train(run), train_alone(run));
}

// A penalty counts once, and not once a worker, a micro-batch or a device; one of activations is a
// mean over all examples.
TEST(WeightRulesTest, PenaltiesAndConstraintsFollowOneProcess) {
  RunOptions run{.kind = &kMultiWorkerStrategy, .weight_rules = true, .epochs = 1};
  const RunResult alone = train_alone(run);
  RunOptions without = run;
  without.weight_rules = false;
  EXPECT_GT(alone.losses[0], train_alone(without).losses[0] + 0.5);
  run.strategy.micro_batches = 2;
  run.workers = 3;
  expect_close(train(run), alone);
  run.workers = 1;
  run.kind = &kMirroredStrategy;
  run.strategy.devices = {"/device:CPU:0", "/device:CPU:1"};
  expect_close(train(run), alone);
  const Tensor kernel = alone.weights.at("dense/kernel");
  double largest = 0;
  for (int64_t unit = 0; unit < 10; ++unit) {
    double square = 0;
    for (int64_t i = 0; i < kernel.shape()[0]; ++i) {
      square += std::pow(kernel.as_double(i * 10 + unit), 2);
    }
    largest = std::max(largest, std::sqrt(square));
  }
  EXPECT_NEAR(largest, 0.9, 1e-5);  // it was above, and was brought there
}

// The norm is that of the gradient of all workers, and each device works out the same one.
TEST(UpdateOptionsTest, ClippingAveragesAndWholeVariablesFollowOneProcess) {
  const UpdateOptions options{.global_clipnorm = 0.5,
                              .use_ema = true,
                              .ema_momentum = 0.9,
                              .gradient_accumulation_steps = 2};
  for (const std::shared_ptr<const Optimizer>& optimizer :
       {std::shared_ptr<const Optimizer>(
            std::make_shared<Adam>(constant_rate(0.01), rules::Adam{}, options)),
        std::shared_ptr<const Optimizer>(
            std::make_shared<Lamb>(constant_rate(0.01), LambOptions{}, options))}) {
    RunOptions run{.kind = &kMultiWorkerStrategy, .epochs = 1, .optimizer = optimizer};
    const RunResult alone = train_alone(run);
    run.workers = 3;
    expect_close(train(run), alone);
    run.workers = 1;
    run.kind = &kMirroredStrategy;
    run.strategy.devices = {"/device:CPU:0", "/device:CPU:1"};
    expect_close(train(run), alone);
  }
}

// More workers than rows in the last batch: some have nothing to do and must not be missed.
TEST(UnevenBatchTest, WorkersWithoutRowsDoNotCount) {
  RunOptions run{.kind = &kMultiWorkerStrategy, .examples = 2 * kBatch + 2};
  const RunResult alone = train_alone(run);
  run.workers = 4;
  expect_close(train(run), alone);
}

TEST(SyncBatchNormTest, NormalizesOverTheGlobalBatch) {
  RunOptions run{
      .kind = &kMultiWorkerStrategy, .strategy = {.sync_batch_norm = true}, .batch_norm = true};
  const RunResult alone = train_alone(run);
  run.workers = 3;
  expect_close(train(run), alone, 1e-3);
}

TEST(SyncBatchNormTest, WithoutItShardsDiffer) {
  RunOptions run{.kind = &kMultiWorkerStrategy, .batch_norm = true};
  const RunResult alone = train_alone(run);
  run.workers = 3;
  EXPECT_GT(std::abs(train(run).losses.back() - alone.losses.back()), 1e-4);
}

TEST(SyncBatchNormTest, WorksAcrossMirroredDevices) {
  RunOptions run{
      .kind = &kMirroredStrategy,
      .strategy = {.devices = {"/device:CPU:0", "/device:CPU:1"}, .sync_batch_norm = true},
      .batch_norm = true};
  expect_close(train(run), train_alone(run), 1e-3);
}

TEST(DeterministicTest, EqualBitsForAnyNumberOfWorkersAndDevices) {
  RunOptions run{.kind = &kMultiWorkerStrategy,
                 .strategy = {.micro_batches = 4, .deterministic = true},
                 .batch_norm = true};
  const RunResult one = train(run);
  for (int workers : {2, 4}) {
    run.workers = workers;
    run.strategy.micro_batches = 4 / workers;
    EXPECT_EQ(train(run).losses, one.losses) << workers << " workers";
  }
  run.workers = 1;
  run.kind = &kMirroredStrategy;
  run.strategy.devices = {"/device:CPU:0", "/device:CPU:1"};
  run.strategy.micro_batches = 2;
  EXPECT_EQ(train(run).losses, one.losses) << "2 mirrored devices";
}

TEST(CompressionTest, HalfPrecisionOnTheWireStaysClose) {
  for (Compression compression : {Compression::kBFloat16, Compression::kFloat16}) {
    RunOptions run{.kind = &kMultiWorkerStrategy,
                   .strategy = {.compression = compression},
                   .dropout = false,
                   .epochs = 1};
    const RunResult alone = train_alone(run);
    run.workers = 2;
    const RunResult two = train(run);
    expect_close(two, alone, 0.05);
    EXPECT_NE(two.losses, alone.losses);
  }
}

class MixedPrecisionTest : public ::testing::TestWithParam<Precision> {};
INSTANTIATE_TEST_SUITE_P(Small, MixedPrecisionTest,
                         ::testing::Values(Precision::kMixedBFloat16, Precision::kMixedFloat16));

TEST_P(MixedPrecisionTest, WorkersAndDevicesFollowOneProcess) {
  RunOptions run{.kind = &kMultiWorkerStrategy,
                 .strategy = {.sync_batch_norm = true},
                 .batch_norm = true,
                 .epochs = 1,
                 .precision = GetParam()};
  const RunResult alone = train_alone(run);
  run.workers = 2;
  expect_close(train(run), alone, 0.05);
  run.workers = 1;
  run.kind = &kMirroredStrategy;
  run.strategy.devices = {"/device:CPU:0", "/device:CPU:1"};
  expect_close(train(run), alone, 0.05);
}

// train() demands that all workers have the same losses, weights and count of skipped steps.
TEST(LossScaleTest, WorkersSkipTheSameSteps) {
  for (const StrategyDef* kind : {&kMultiWorkerStrategy, &kMirroredStrategy}) {
    RunOptions run{
        .kind = kind, .epochs = 4, .precision = Precision::kMixedFloat16, .loss_scale = 0x1p32};
    if (kind == &kMultiWorkerStrategy) {
      run.workers = 3;
    } else {
      run.strategy.devices = {"/device:CPU:0", "/device:CPU:1"};
    }
    const RunResult result = train(run);
    EXPECT_GT(result.skipped_steps, 3);
    EXPECT_LT(result.skipped_steps, 32);
    EXPECT_LT(result.losses.back(), 0.95 * result.losses.front());
  }
}

TEST(LossScaleTest, WhatWouldSendGradientsBeforeTheyAreCheckedIsRefused) {
  RunOptions run{.kind = &kMultiWorkerStrategy,
                 .strategy = {.compression = Compression::kTopK},
                 .precision = Precision::kMixedFloat16};
  const auto strategy = run.kind->make(run.strategy);
  EXPECT_THAT([&] { train_worker(run, strategy.get(), 0, make_local_group(1)); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("use mixed_bfloat16")));
}

// What is not sent is added the next time: nothing of a gradient is lost, and training converges.
TEST(CompressionTest, TopKConvergesAndWorkersAgree) {
  RunOptions run{.kind = &kMultiWorkerStrategy,
                 .strategy = {.compression = Compression::kTopK, .top_k_ratio = 0.05},
                 .workers = 2,
                 .dropout = false,
                 .epochs = 6};
  const RunResult result = train(run);
  EXPECT_LT(result.losses.back(), 0.75 * result.losses.front());
}

TEST(TopKTest, SumsWhatIsSentAndRemembersTheRest) {
  auto group = make_local_group(1);
  TopKExchange exchange(4, 0.5);
  const std::string label = "b";
  std::vector<float> data = {1, -8, 4, 2};
  exchange.sum(data.data(), *group[0], label, 1);
  EXPECT_THAT(data, ::testing::ElementsAre(0, -8, 4, 0));
  data = {1, 0, 0, 2};
  exchange.sum(data.data(), *group[0], label, 2);
  EXPECT_THAT(data, ::testing::ElementsAre(2, 0, 0, 4));
}

}  // namespace
}  // namespace trireme
