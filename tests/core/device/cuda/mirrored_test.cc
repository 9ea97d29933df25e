// One process over several GPUs: the virtual ones of one card train as one GPU does.
#include <gmock/gmock.h>

#include "core/data/digits.h"
#include "core/device/kernel.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/device_options.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/collective/nccl/device_collective.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/strategies.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/strategy_group.h"

namespace trireme::testing {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kBatch = 16, kSteps = 6;

struct Trained {
  std::vector<double> losses;
  nn::StateMap weights;
};

class Losses : public nn::Callback {
 public:
  explicit Losses(std::vector<double>& losses) : losses_(losses) {}
  void on_batch_end(nn::Training&, nn::Logs logs) override { losses_.push_back(*logs[0].value); }

 private:
  std::vector<double>& losses_;
};

// On so many virtual GPUs of one card.
Trained train(int gpus, bool record = true, Compression compression = Compression::kNone) {
  const auto devices = make_gpu_set({.count = 1, .virtual_per_card = gpus});
  // Several buckets, whose reductions of all GPUs must come in one order; sent in 16 bits, so that
  // what comes back is computed with before anything is updated.
  const auto strategy = kMirroredStrategy.make({.devices = computing_devices(*devices),
                                                .bucket_bytes = 4096,
                                                .first_bucket_bytes = 256,
                                                .compression = compression});
  const auto slots = std::make_shared<CommunicatorSlots>();
  std::vector<Device*> members;
  for (int i = 0; i < gpus; ++i) members.push_back(devices->all()[static_cast<size_t>(i)].get());
  slots->set(make_local_group(strategy->ranks()),
             gpus > 1 ? make_mirrored_collectives(members, std::chrono::milliseconds(30'000))
                      : DeviceCollectives{});
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*kernels, slots);
  nn::Model model({.seed = 3,
                   .session = {.devices = devices, .kernels = kernels, .record = record},
                   .ops = distributed_op_table()});
  model.add<nn::Flatten>();
  model.add<nn::Dense>({.units = 16, .activation = nn::Activation::kRelu});
  model.add<nn::Dropout>({.rate = 0.3});
  model.add<nn::Dense>({.units = 10});
  model.compile({.optimizer = std::make_shared<nn::Adam>(),
                 .loss = nn::sparse_categorical_cross_entropy(),
                 .build_gradients = [&](nn::TrainGraph& g) { strategy->build_gradients(g); },
                 .rewrite_updates = [&](nn::TrainGraph& g) { strategy->rewrite_updates(g); }});
  Trained trained;
  nn::FitOptions fit{.epochs = 1,
                     .steps_per_epoch = kSteps,
                     .callbacks = {std::make_shared<Losses>(trained.losses)},
                     .progress = std::nullopt};
  testing::StrategyGroup group(*strategy, kBatch * kSteps, kBatch);
  fit.group = &group;
  const data::Dataset digits = data::digits(data::Split::kTest, 1).dataset().take(kBatch * kSteps);
  model.fit(digits.batch_part(kBatch, 0, 1).repeat(), std::move(fit));
  trained.weights = model.weights();
  return trained;
}

TEST(CudaMirroredTest, TwoVirtualGpusTrainAsOneDoes) {
  TRIREME_NEEDS_GPU();
  const Trained one = train(1), two = train(2);
  ASSERT_EQ(two.losses.size(), static_cast<size_t>(kSteps));
  for (size_t i = 0; i < two.losses.size(); ++i) {
    EXPECT_NEAR(two.losses[i], one.losses[i], 1e-5) << "step " << i;
  }
  for (const auto& [name, value] : one.weights) {
    EXPECT_EQ(difference(two.weights.at(name), value, 1e-5), "") << name;
  }
}

TEST(CudaMirroredTest, WhatIsSentInSixteenBitsIsComputedWithOnlyWhenItHasCome) {
  TRIREME_NEEDS_GPU();
  const Trained one = train(1), two = train(2, true, Compression::kBFloat16);
  for (size_t i = 0; i < two.losses.size(); ++i) {
    EXPECT_NEAR(two.losses[i], one.losses[i], 1e-2) << "step " << i;
  }
}

// Reductions settle before anything changes: what was recorded stands on both sides of that.
TEST(CudaMirroredTest, RecordingAStepChangesNoBit) {
  TRIREME_NEEDS_GPU();
  const Trained recorded = train(2), launched = train(2, false);
  EXPECT_EQ(recorded.losses, launched.losses);
  for (const auto& [name, value] : launched.weights) {
    EXPECT_EQ(difference(recorded.weights.at(name), value, 0), "") << name;
  }
  if (fake_cuda::FakeCuda* const fake = fake_cuda::fake_cuda()) {
    EXPECT_THAT(fake->take_complaints(), IsEmpty());
  }
}

}  // namespace
}  // namespace trireme::testing
