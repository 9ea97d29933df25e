// Training on a GPU as Model::fit does it: what a step costs, and that recording it changes no bit.
#include <gmock/gmock.h>

#include "core/data/digits.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"
#include "core/nn/step_function.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace trireme::testing {
namespace {

using fake_cuda::OperationKind;
using ::testing::IsEmpty;

constexpr int64_t kBatch = 32;  // of 784 floats: large enough to be copied ahead

data::Dataset batches() {
  return data::digits(data::Split::kTrain, 1, 8 * kBatch).dataset().batch(kBatch);
}

std::unique_ptr<nn::Model> perceptron(bool record) {
  auto model = std::make_unique<nn::Model>(nn::ModelOptions{
      .name = "perceptron", .session = {.devices = shared_gpu_set(), .record = record}});
  model->add<nn::Flatten>();
  model->add<nn::Dense>({.units = 16, .activation = nn::Activation::kRelu});
  model->add<nn::Dropout>({.rate = 0.2});
  model->add<nn::Dense>({.units = 10});
  model->compile({.optimizer = std::make_shared<nn::Adam>(),
                  .loss = nn::sparse_categorical_cross_entropy(),
                  .metrics = {nn::sparse_categorical_accuracy()}});
  return model;
}

TEST(CudaTrainingTest, RecordingAStepChangesNoBit) {
  TRIREME_NEEDS_GPU();
  const auto recorded = perceptron(true), launched = perceptron(false);
  for (nn::Model* model : {recorded.get(), launched.get()}) {
    model->fit(batches(), {.epochs = 2, .progress = std::nullopt});
  }
  const nn::StateMap expected = launched->weights();
  for (const auto& [name, value] : recorded->weights()) {
    EXPECT_EQ(difference(value, expected.at(name), 0), "") << name;
  }
}

// The smallest steps are all launches: one for the work of the card, whatever the model is, beside
// what is fed and fetched.
TEST(CudaTrainingTest, AStepIsOneLaunchAndAllocatesNothing) {
  TRIREME_NEEDS_GPU();
  fake_cuda::FakeCuda* const fake = fake_cuda::fake_cuda();
  if (fake == nullptr) GTEST_SKIP() << "only the fake driver counts";
  const auto model = perceptron(true);
  model->build_training(nn::batch_types(batches()));
  nn::StepFunction step(model->session(), model->train_graph());
  data::Iterator iterator = batches().repeat().iterator();
  data::Element batch, next;
  iterator.next(next);
  nn::StepInputs inputs{.learning_rate = 1e-3};
  const auto run = [&] {
    std::swap(batch, next);
    iterator.next(next);
    step.run(batch, inputs, &next, inputs.step > 0);
    ++inputs.step;
  };
  for (int i = 0; i < 4; ++i) run();
  fake->take_complaints();
  fake->reset_statistics();
  constexpr int kSteps = 5;
  for (int i = 0; i < kSteps; ++i) run();
  shared_gpu_set()->all().front()->transfer_stream()->synchronize();
  const fake_cuda::Statistics statistics = fake->statistics();
  const auto count = [](const auto& map, OperationKind kind) {
    const auto it = map.find(kind);
    return it == map.end() ? int64_t{0} : it->second;
  };
  EXPECT_EQ(statistics.graph_launches, kSteps);
  EXPECT_EQ(statistics.graphs_instantiated, 0);
  EXPECT_EQ(statistics.allocations, 0);
  EXPECT_EQ(statistics.pinned_allocations, 0);
  EXPECT_EQ(count(statistics.operations, OperationKind::kKernel),
            count(statistics.graph_nodes, OperationKind::kKernel));
  // What is small in one copy, the images ahead of their step.
  EXPECT_LE(count(statistics.operations, OperationKind::kHostToDevice), 2 * kSteps + 1);
  EXPECT_THAT(fake->take_complaints(), IsEmpty());
}

}  // namespace
}  // namespace trireme::testing
