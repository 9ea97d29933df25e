// What the strategies with parameter servers promise in sync consistency: the losses of one process
// on the same global batch, wherever variables and rows are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <thread>

#include "core/base/philox.h"
#include "core/data/digits.h"
#include "core/device/kernel.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/runtime/built_in_kernels.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/strategies.h"
#include "distributed/strategy/votes_table.h"
#include "ps/ops/ps_ops.h"
#include "ps/ops/training_tables.h"
#include "tests/support/shared_tables.h"
#include "tests/support/strategy_group.h"

namespace trireme {
namespace {

using namespace nn;
using ::testing::HasSubstr;

constexpr int64_t kExamples = 212, kBatch = 32;  // the last batch has 20 rows
constexpr int64_t kSteps = (kExamples + kBatch - 1) / kBatch;

struct RunOptions {
  const StrategyDef* kind = nullptr;  // null: one process without any
  StrategyOptions strategy;
  int workers = 1;
  bool embedding = false;  // else a convolution with batch norm
  bool batch_norm = false;
  DenseOptions logits = {.units = 10};  // of the convolution's model
  EmbeddingOptions table = {.rows = 40, .dimension = 4};
  std::vector<std::string> freeze = {};
  std::shared_ptr<const Optimizer> optimizer = std::make_shared<Adam>(constant_rate(0.01));
};

struct RunResult {
  std::vector<double> losses;  // of each epoch
  double validation = 0;
  int pushes = 0;  // nodes of the graph
};

// Three keys to a value that depends on them.
data::Dataset keys_and_values() {
  PhiloxGenerator random(5);
  Tensor keys(DType::kInt64, {kExamples, 3}), labels(DType::kFloat32, {kExamples, 1});
  for (int64_t i = 0; i < kExamples; ++i) {
    float label = 0;
    for (int64_t j = 0; j < 3; ++j) {
      const int64_t key = std::abs(static_cast<int64_t>(random.normal() * 12)) % 40;
      keys.flat<int64_t>()[static_cast<size_t>(3 * i + j)] = key;
      label += static_cast<float>(key % 5) - 2;
    }
    labels.flat<float>()[static_cast<size_t>(i)] = label;
  }
  return data::from_tensors({keys, labels}, {"keys", "value"});
}

data::Dataset examples(const RunOptions& run) {
  if (run.embedding) return keys_and_values();
  return data::digits(data::Split::kTest, 1).dataset().take(kExamples);
}

void add_layers(Model& model, const RunOptions& run) {
  if (run.embedding) {
    model.add<Embedding>(run.table).add<Flatten>();
    model.add<Dense>({.units = 8, .activation = Activation::kTanh}).add<Dense>({.units = 1});
    return;
  }
  model.add<Conv2D>({.filters = 4, .kernel_h = 5, .kernel_w = 5, .stride_h = 2, .stride_w = 2});
  if (run.batch_norm) model.add<BatchNorm>({.momentum = 0.9});
  model.add<Flatten>().add<Dropout>({.rate = 0.3}).add<Dense>(run.logits);
}

// Everything that the workers of one job share.
struct Job {
  RunOptions run;
  std::unique_ptr<Strategy> strategy;  // null: one process without any
  std::unique_ptr<testing::SharedTables> tables;
  std::once_flag made;
};

// A worker that meets the others at the servers.
class ServedGroup : public testing::StrategyGroup {
 public:
  ServedGroup(Job& job, int rank, Model& model, ps::TableStoreSlot& slot)
      : StrategyGroup(*job.strategy, kExamples, kBatch, rank, job.run.workers),
        job_(job),
        model_(model),
        slot_(slot) {}

  void refresh_variables() override {
    if (!has_variables()) return;
    const auto& specs = slot_.store().tables();
    for (size_t i = 0; i + 1 < specs.size(); ++i) {
      if (!specs[i].is_dense()) continue;
      Tensor value = model_.session().variables().get(specs[i].name);
      const ps::TableRows<float> wanted{static_cast<int>(i), {}, value.flat<float>().data()};
      slot_.store().pull(0, {&wanted, 1});
      model_.session().variables().set(specs[i].name, value);
    }
  }
  // Before the validation all have pushed.
  bool leave_epoch(Training&, bool, RunningMeans& means) override {
    RunningMeans local = means;
    (has_variables() ? means : local).merge_workers(rank(), workers(), [&](std::span<double> sums) {
      job_.tables->sum(sums);
    });
    return false;
  }

 private:
  bool has_variables() const { return job_.run.kind->variables_on_servers; }

  Job& job_;
  Model& model_;
  ps::TableStoreSlot& slot_;
};

RunResult train_worker(Job& job, int rank, std::unique_ptr<Communicator> communicator) {
  const RunOptions& run = job.run;
  const auto collectives = std::make_shared<CommunicatorSlots>();
  const auto slot = std::make_shared<ps::TableStoreSlot>();
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*kernels, collectives);
  ps::register_ps_kernels(*kernels, slot);
  auto ops = std::make_shared<OpTable>();
  register_core_ops(*ops);
  register_collective_ops(*ops);
  ps::register_ps_ops(*ops);
  std::vector<std::unique_ptr<Communicator>> communicators;
  if (communicator) communicators.push_back(std::move(communicator));
  collectives->set(std::move(communicators));

  ps::TrainingTables tables;
  ModelOptions options{
      .seed = 3, .session = {.kernels = kernels}, .ops = ops, .freeze = run.freeze};
  if (job.strategy) options.embedding_lookup = tables.lookup();
  Model model(options);
  add_layers(model, run);
  CompileOptions compile{
      .optimizer = run.optimizer,
      .loss = run.embedding ? mean_squared_error() : sparse_categorical_cross_entropy()};
  const data::Dataset all = examples(run);
  FitOptions fit{.epochs = 3, .steps_per_epoch = kSteps, .progress = {}};
  const bool remote = job.strategy && run.kind->variables_on_servers;
  if (job.strategy) {
    compile.build_gradients = [&](TrainGraph& graph) { job.strategy->build_gradients(graph); };
    compile.rewrite_updates = [&](TrainGraph& graph) { job.strategy->rewrite_updates(graph); };
  }
  fit.validation = all.batch(50);
  model.compile(std::move(compile));
  model.build_training(batch_types(all.batch_part(kBatch, rank, run.workers)));
  RunResult result;
  if (job.strategy) {
    std::call_once(job.made, [&] {
      auto specs = tables.embeddings(*run.optimizer, 3);
      const size_t first = specs.size();
      if (remote) {
        const auto dense =
            ps::TrainingTables::variables(model.variables(), *run.optimizer, kVotesTable);
        specs.insert(specs.end(), dense.begin(), dense.end());
      }
      job.tables = std::make_unique<testing::SharedTables>(specs, run.workers);
      for (size_t i = first; i + 1 < specs.size(); ++i) {
        const Tensor value = model.session().variables().get(specs[i].name);
        job.tables->local().assign(static_cast<int>(i), value.flat<float>());
      }
      if (remote) job.tables->local().assign(static_cast<int>(specs.size()) - 1, {{0.0F}});
    });
    slot->set(job.tables->store(rank));
  }
  std::optional<ServedGroup> group;
  if (job.strategy) {
    group.emplace(job, rank, model, *slot);
    fit.group = &*group;
  }
  const History history =
      model.fit(all.shuffle(7).batch_part(kBatch, rank, run.workers).repeat(), std::move(fit));
  for (const auto& node : model.graph().nodes()) {
    if (node->op().name == "PsPush") ++result.pushes;
  }
  for (const auto& loss : history.values.at("loss")) result.losses.push_back(loss.value());
  result.validation = history.last("val_loss");
  return result;
}

RunResult train(const RunOptions& run) {
  Job job{.run = run};
  job.strategy = run.kind->make(run.strategy);
  auto group = make_local_group(run.workers, {.timeout = std::chrono::milliseconds(60'000)});
  std::vector<RunResult> results(static_cast<size_t>(run.workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < run.workers; ++rank) {
    threads.emplace_back([&, rank] {
      results[static_cast<size_t>(rank)] =
          train_worker(job, rank, std::move(group[static_cast<size_t>(rank)]));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const RunResult& other : results) {
    EXPECT_EQ(other.losses, results[0].losses);
    EXPECT_EQ(other.validation, results[0].validation);
  }
  return results[0];
}

RunResult train_alone(const RunOptions& run) {
  Job job{.run = run};
  return train_worker(job, 0, nullptr);
}

void expect_close(const RunResult& found, const RunResult& expected) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], expected.losses[i], 1e-4 * std::abs(expected.losses[i]));
  }
  EXPECT_NEAR(found.validation, expected.validation, 1e-4 * expected.validation);
  EXPECT_LT(expected.losses.back(), 0.9 * expected.losses.front()) << "it must learn something";
}

class ServerStrategyTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, ServerStrategyTest, ::testing::Values(1, 2, 3));

TEST_P(ServerStrategyTest, VariablesOnServersFollowOneProcess) {
  RunOptions run{.kind = &kParameterServerStrategy};
  const RunResult alone = train_alone(run);
  run.workers = GetParam();
  expect_close(train(run), alone);
}

TEST_P(ServerStrategyTest, RowsOnServersFollowOneProcess) {
  RunOptions run{.kind = &kParameterServerStrategy, .embedding = true};
  const RunResult alone = train_alone(run);
  run.workers = GetParam();
  expect_close(train(run), alone);
}

TEST_P(ServerStrategyTest, HybridFollowsOneProcess) {
  RunOptions run{.kind = &kHybridStrategy, .embedding = true};
  const RunResult alone = train_alone(run);
  run.workers = GetParam();
  expect_close(train(run), alone);
}

TEST(ServerStrategyPartsTest, MicroBatchesOfOneTableArePushedTogether) {
  for (const StrategyDef* kind : {&kParameterServerStrategy, &kHybridStrategy}) {
    RunOptions run{.kind = kind, .strategy = {.micro_batches = 2}, .embedding = true};
    const RunResult alone = train_alone(run);
    run.workers = 2;
    expect_close(train(run), alone);
  }
}

TEST(ServerStrategyPartsTest, GradientsAreSentInPiecesAsTheyAreMade) {
  RunOptions run{.kind = &kParameterServerStrategy,
                 .strategy = {.bucket_bytes = 2048, .first_bucket_bytes = 16},
                 .workers = 2};
  const RunResult result = train(run);
  EXPECT_GT(result.pushes, 2);
  run.workers = 1;
  expect_close(result, train_alone(run));
}

// Each worker normalizes by its own examples; the averages that the validation uses move as those
// of one process do when it is alone.
TEST(ServerStrategyPartsTest, MovingAveragesAreTables) {
  const RunOptions run{.kind = &kParameterServerStrategy, .batch_norm = true};
  expect_close(train(run), train_alone(run));
}

// The penalty of a variable that is in pieces on servers counts once, whoever pushes its gradient.
TEST(ServerStrategyPartsTest, PenaltiesFollowOneProcess) {
  RunOptions run{.kind = &kParameterServerStrategy};
  run.logits.kernel_regularizer = l2(0.05);
  run.logits.activity_regularizer = l2(0.001);
  const RunResult alone = train_alone(run);
  run.workers = 2;
  expect_close(train(run), alone);
}

TEST(ServerStrategyPartsTest, FrozenTablesAndVariablesFollowOneProcess) {
  for (const StrategyDef* kind : {&kParameterServerStrategy, &kHybridStrategy}) {
    RunOptions run{.kind = kind, .embedding = true, .freeze = {"dense/bias"}};
    // Votes are pushed where variables are on servers; else the rows must be.
    if (kind == &kParameterServerStrategy) run.freeze.push_back("embedding");
    run.table.initializer = uniform(-1, 1);
    const RunResult alone = train_alone(run);
    run.workers = 2;
    expect_close(train(run), alone);
  }
}

TEST(ServerStrategyOptionsTest, RefusesWhatNeedsAWholeVariable) {
  const auto error_of = [](const RunOptions& run) -> std::string {
    Job job{.run = run};
    job.strategy = run.kind->make(run.strategy);
    try {
      train_worker(job, 0, std::move(make_local_group(1)[0]));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  RunOptions run{.kind = &kParameterServerStrategy};
  run.logits.kernel_constraint = max_norm();
  EXPECT_THAT(error_of(run), HasSubstr("the constraint of \"dense/kernel\" needs the whole"));
  run = {.kind = &kHybridStrategy, .embedding = true};
  run.table.regularizer = l2();
  EXPECT_THAT(error_of(run), HasSubstr("(embedding \"embedding\"): embeddings_regularizer: "));
  run.table.regularizer = nullptr;
  run.freeze = {"embedding"};
  EXPECT_THAT(error_of(run),
              HasSubstr("HYBRID: the model has no embedding whose rows are trained"));
  run.freeze.clear();
  run.optimizer =
      std::make_shared<Adam>(nullptr, rules::Adam{}, UpdateOptions{.global_clipnorm = 1});
  EXPECT_THAT(error_of(run), HasSubstr("optimizer: global_clipnorm: parameter servers add up"));
  run.optimizer = std::make_shared<Adam>();
  run.table.constraint = unit_norm();
  EXPECT_THAT(error_of(run), HasSubstr("embeddings_constraint: "));
}

TEST(ServerStrategyOptionsTest, RefusesWhatBelongsToAllReduce) {
  for (const char* what : {"compression", "deterministic", "sync_batch_norm"}) {
    StrategyOptions options;
    if (what == std::string("compression")) options.compression = Compression::kBFloat16;
    if (what == std::string("deterministic")) options.deterministic = true;
    if (what == std::string("sync_batch_norm")) options.sync_batch_norm = true;
    try {
      kParameterServerStrategy.make(options);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  }
}

}  // namespace
}  // namespace trireme
