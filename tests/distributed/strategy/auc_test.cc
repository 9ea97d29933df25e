// The area under the curve of several workers, shards and devices is that of all examples, by
// ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/base/philox.h"
#include "core/device/kernel.h"
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
constexpr int64_t kExamples = 6 * 32 + 1, kBatch = 32, kValidation = 50;

// A model whose logits are its features, beside a bias that is trained.
class Same : public Layer {
 public:
  struct Options {};
  explicit Same(Options) {}
  std::string type() const override { return "same"; }
  Value call(BuildContext& context, Value x) override {
    return x + context.variable("bias", {1}, zeros());
  }
};

struct Examples {
  std::vector<float> logits, labels;
};

// Logits far beyond 16, ties (none at 0, which the bias would move), and few positives.
Examples draw(int64_t count, uint64_t seed) {
  PhiloxGenerator random(seed);
  Examples examples;
  for (int64_t i = 0; i < count; ++i) {
    const bool positive = random.uniform() < 0.15F;
    const float logit = 50 * random.normal() + (positive ? 40.0F : 0.0F);
    examples.logits.push_back(i % 3 == 0 ? std::round(logit / 30) * 30 + 15 : logit);
    examples.labels.push_back(positive ? 1.0F : 0.0F);
  }
  return examples;
}

double count_pairs(const Examples& examples) {
  double right = 0, pairs = 0;
  for (size_t i = 0; i < examples.logits.size(); ++i) {
    for (size_t j = 0; j < examples.logits.size(); ++j) {
      if (examples.labels[i] != 1 || examples.labels[j] != 0) continue;
      ++pairs;
      const float a = examples.logits[i], b = examples.logits[j];
      right += a > b ? 1 : a == b ? 0.5 : 0;
    }
  }
  return right / pairs;
}

data::Dataset dataset(const Examples& examples) {
  const auto n = static_cast<int64_t>(examples.logits.size());
  return data::from_tensors(
      {Tensor::from<float>({n, 1}, examples.logits), Tensor::from<float>({n, 1}, examples.labels)},
      {"x", "y"});
}

struct AucRun {
  const StrategyDef* kind;
  StrategyOptions strategy;
  int workers = 1, devices = 1;
};

std::pair<double, double> train_worker(const AucRun& run, int rank, const Strategy& strategy,
                                       std::vector<std::unique_ptr<Communicator>> communicators) {
  auto slots = std::make_shared<CommunicatorSlots>();
  slots->set(std::move(communicators));
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*kernels, slots);
  Model model({.session = {.devices = make_device_set("cpu", run.devices), .kernels = kernels},
               .ops = distributed_op_table()});
  model.add<Same>();
  CompileOptions compile{.optimizer = std::make_shared<Sgd>(constant_rate(1e-30)),
                         .loss = binary_cross_entropy(),
                         .metrics = {binary_accuracy(), area_under_curve_metric()}};
  compile.build_gradients = [&](TrainGraph& graph) { strategy.build_gradients(graph); };
  compile.rewrite_updates = [&](TrainGraph& graph) { strategy.rewrite_updates(graph); };
  model.compile(std::move(compile));
  FitOptions fit{.epochs = 1, .progress = {}};
  fit.steps_per_epoch = (kExamples + kBatch - 1) / kBatch;
  testing::StrategyGroup group(strategy, kExamples, kBatch, rank, run.workers);
  group.set_sum([&](std::span<double> sums) {
    if (run.workers == 1) return;
    slots->at(0).all_reduce({sums.data(), static_cast<int64_t>(sums.size()), DType::kFloat64},
                            ReduceOp::kSum);
  });
  fit.group = &group;
  fit.validation = dataset(draw(kValidation, 9)).batch(4).shard(run.workers, rank);
  const History history = model.fit(
      dataset(draw(kExamples, 8)).shuffle(3).batch_part(kBatch, rank, run.workers).repeat(), fit);
  return {history.last("auc"), history.last("val_auc")};
}

class AucOfWorkersTest : public ::testing::TestWithParam<AucRun> {};

TEST_P(AucOfWorkersTest, IsThatOfAllExamples) {
  const AucRun& run = GetParam();
  StrategyOptions options = run.strategy;
  if (run.devices > 1) options.devices = {"/device:CPU:0", "/device:CPU:1"};
  const auto strategy = run.kind->make(options);
  auto group = make_local_group(run.workers * strategy->ranks(),
                                {.timeout = std::chrono::milliseconds(60'000)});
  const double expected = count_pairs(draw(kExamples, 8)),
               expected_validation = count_pairs(draw(kValidation, 9));
  EXPECT_LT(expected, 0.95);
  std::vector<std::pair<double, double>> found(static_cast<size_t>(run.workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < run.workers; ++rank) {
    std::vector<std::unique_ptr<Communicator>> mine;
    for (int i = 0; i < strategy->ranks(); ++i) {
      mine.push_back(std::move(group[static_cast<size_t>(rank * strategy->ranks() + i)]));
    }
    threads.emplace_back([&, rank, mine = std::move(mine)]() mutable {
      found[static_cast<size_t>(rank)] = train_worker(run, rank, *strategy, std::move(mine));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& [auc, validation] : found) {
    EXPECT_NEAR(auc, expected, 1e-12);
    EXPECT_NEAR(validation, expected_validation, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, AucOfWorkersTest,
    ::testing::Values(AucRun{&kMultiWorkerStrategy, {}}, AucRun{&kMultiWorkerStrategy, {}, 2},
                      AucRun{&kMultiWorkerStrategy, {.micro_batches = 3}, 3},
                      AucRun{&kMultiWorkerStrategy, {.micro_batches = 2, .deterministic = true}, 2},
                      AucRun{&kMirroredStrategy, {}, 1, 2},
                      AucRun{&kCentralStorageStrategy, {}, 1, 2}));

}  // namespace
}  // namespace trireme
