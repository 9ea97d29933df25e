// Losses whose elements do not count alike, and metrics that are counts: those of one process on
// the same global batch, whatever the number of workers, devices and micro-batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/base/philox.h"
#include "core/device/kernel.h"
#include "core/nn/count_metrics.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/device_options.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/strategies.h"
#include "tests/support/strategy_group.h"

namespace trireme {
namespace {

using namespace nn;

// The last batch has one row: then most workers have none.
constexpr int64_t kExamples = 3 * 16 + 1, kBatch = 16, kSteps = 5, kFeatures = 3, kClasses = 4;

// Logits of each step of a sequence.
class Steps : public Layer {
 public:
  struct Options {};
  explicit Steps(Options) {}
  std::string type() const override { return "steps"; }
  Value call(BuildContext& context, Value x) override {
    return ops::matmul(x, context.variable("kernel", {kFeatures, kClasses}, uniform(-1, 1)));
  }
};

// Sequences of 1 to kSteps steps, the shorter ones at the front, so that workers have unequal
// parts; behind their end the label is -1. An example in four has no weight.
data::Dataset examples(int64_t count) {
  PhiloxGenerator random(5);
  std::vector<float> x, weights;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = 1 + i % kBatch * kSteps / kBatch;
    for (int64_t t = 0; t < kSteps; ++t) {
      for (int64_t k = 0; k < kFeatures; ++k) x.push_back(random.normal());
      labels.push_back(t < length ? static_cast<int64_t>(random.below(kClasses)) : -1);
    }
    weights.push_back(i % 4 == 3 ? 0 : 2 * random.uniform());
  }
  return data::from_tensors(
      {Tensor::from<float>({count, kSteps, kFeatures}, x),
       Tensor::from<int64_t>({count, kSteps}, labels), Tensor::from<float>({count}, weights)},
      {"x", "label", std::string(kSampleWeight)});
}

struct WeightedRun {
  const StrategyDef* kind = nullptr;  // null: one device does all
  StrategyOptions strategy = {};
  int workers = 1, devices = 1;
};

struct Found {
  std::vector<double> losses;
  std::map<std::string, double> figures;
  Tensor kernel;
};

class Losses : public Callback {
 public:
  explicit Losses(std::vector<double>& losses) : losses_(losses) {}
  void on_batch_end(Training&, Logs logs) override { losses_.push_back(*logs[0].value); }

 private:
  std::vector<double>& losses_;
};

Found train_worker(const WeightedRun& run, int rank, const Strategy* strategy,
                   std::vector<std::unique_ptr<Communicator>> communicators) {
  auto slots = std::make_shared<CommunicatorSlots>();
  slots->set(std::move(communicators));
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*kernels, slots);
  Model model({.session = {.devices = make_device_set("cpu", run.devices), .kernels = kernels},
               .ops = distributed_op_table()});
  model.add<Steps>({});
  const Loss loss = sparse_categorical_cross_entropy({.ignore_class = -1});
  CompileOptions compile{.optimizer = std::make_shared<Sgd>(constant_rate(0.5)), .loss = loss};
  compile.metrics = {accuracy(loss), precision(loss, {.average = MetricAverage::kMacro}),
                     f1_score(loss), true_positives(loss)};
  compile.weighted_metrics = {perplexity(loss)};
  compile.class_weights = {{1, 3}, {2, 0.5}};
  Found found;
  FitOptions fit{
      .epochs = 1, .callbacks = {std::make_shared<Losses>(found.losses)}, .progress = {}};
  fit.steps_per_epoch = (kExamples + kBatch - 1) / kBatch;
  std::optional<testing::StrategyGroup> group;
  if (strategy != nullptr) {
    compile.build_gradients = [=](TrainGraph& graph) { strategy->build_gradients(graph); };
    compile.rewrite_updates = [=](TrainGraph& graph) { strategy->rewrite_updates(graph); };
    group.emplace(*strategy, kExamples, kBatch, rank, run.workers);
    group->set_sum([&](std::span<double> sums) {
      if (run.workers == 1) return;
      slots->at(0).all_reduce({sums.data(), static_cast<int64_t>(sums.size()), DType::kFloat64},
                              ReduceOp::kSum);
    });
    fit.group = &*group;
  }
  fit.validation = examples(20).batch(4).shard(run.workers, rank);
  model.compile(std::move(compile));
  const History history =
      model.fit(examples(kExamples).batch_part(kBatch, rank, run.workers).repeat(), fit);
  for (const auto& [name, values] : history.values) found.figures[name] = values.back().value();
  found.kernel = model.weights().at("steps/kernel");
  return found;
}

std::vector<Found> train(const WeightedRun& run) {
  if (run.kind == nullptr) return {train_worker(run, 0, nullptr, {})};
  StrategyOptions options = run.strategy;
  if (run.devices > 1) options.devices = {"/device:CPU:0", "/device:CPU:1"};
  const auto strategy = run.kind->make(options);
  auto group = make_local_group(run.workers * strategy->ranks(),
                                {.timeout = std::chrono::milliseconds(60'000)});
  std::vector<Found> found(static_cast<size_t>(run.workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < run.workers; ++rank) {
    std::vector<std::unique_ptr<Communicator>> mine;
    for (int i = 0; i < strategy->ranks(); ++i) {
      mine.push_back(std::move(group[static_cast<size_t>(rank * strategy->ranks() + i)]));
    }
    threads.emplace_back([&, rank, mine = std::move(mine)]() mutable {
      found[static_cast<size_t>(rank)] = train_worker(run, rank, strategy.get(), std::move(mine));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return found;
}

class WeightedLossTest : public ::testing::TestWithParam<WeightedRun> {};

// Each worker's mean over its own elements, weighted by examples, would be another loss.
TEST_P(WeightedLossTest, IsThatOfOneProcess) {
  const Found expected = train({})[0];
  ASSERT_EQ(expected.losses.size(), 4u);
  ASSERT_THAT(expected.figures, ::testing::SizeIs(12));
  for (const Found& found : train(GetParam())) {
    EXPECT_THAT(found.losses, ::testing::Pointwise(::testing::DoubleNear(1e-5), expected.losses));
    for (const auto& [name, value] : expected.figures) {
      EXPECT_NEAR(found.figures.at(name), value, 1e-5) << name;
    }
    EXPECT_THAT(found.kernel.flat<float>(),
                ::testing::Pointwise(::testing::FloatNear(1e-5F), expected.kernel.flat<float>()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, WeightedLossTest,
    ::testing::Values(WeightedRun{&kMultiWorkerStrategy, {}, 2},
                      WeightedRun{&kMultiWorkerStrategy, {}, 4},
                      WeightedRun{&kMultiWorkerStrategy, {.micro_batches = 3}, 2},
                      WeightedRun{&kMultiWorkerStrategy, {.micro_batches = 3}, 1},
                      WeightedRun{&kMirroredStrategy, {}, 1, 2},
                      WeightedRun{&kCentralStorageStrategy, {}, 1, 2}));

// Deterministic mode adds up in one order: the same bits with 1, 2 and 4 workers.
TEST(WeightedLossTest, HasTheSameBitsInDeterministicMode) {
  const auto run = [](int workers) {
    return train(
        {&kMultiWorkerStrategy, {.micro_batches = 4 / workers, .deterministic = true}, workers})[0];
  };
  const Found one = run(1);
  for (const int workers : {2, 4}) {
    const Found found = run(workers);
    EXPECT_EQ(found.losses, one.losses);
    EXPECT_EQ(found.figures.at("f1_score"), one.figures.at("f1_score"));
    EXPECT_TRUE(std::ranges::equal(found.kernel.flat<float>(), one.kernel.flat<float>()));
  }
}

}  // namespace
}  // namespace trireme
