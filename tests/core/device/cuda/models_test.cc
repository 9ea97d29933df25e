// Whole models on a GPU train as they do on the CPU, step by step and through all passes, with no
// more launches of updates than there are kinds of them.
#include "core/data/clicks.h"
#include "core/nn/click_layers.h"
#include "tests/core/nn/helpers.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace trireme::nn {
namespace {

using ::testing::IsEmpty;
using MakeModel = std::function<std::unique_ptr<Model>(const SessionOptions&)>;

class CudaModelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TRIREME_NEEDS_GPU();
    fake_ = fake_cuda::fake_cuda();
    if (fake_ == nullptr) return;
    fake_->take_complaints();
    fake_->reset_statistics();
  }
  void TearDown() override {
    if (fake_ == nullptr) return;
    EXPECT_THAT(fake_->take_complaints(), IsEmpty());
  }

  static std::vector<double> train(const MakeModel& make, const data::Dataset& data,
                                   const SessionOptions& session) {
    const auto model = make(session);
    const auto recorder = std::make_shared<LossRecorder>();
    FitOptions options = quiet(1);
    options.callbacks = {recorder};
    options.steps_per_epoch = kSteps;
    model->fit(data.repeat(), options);
    return recorder->losses;
  }
  static std::vector<double> train_on_gpu(const MakeModel& make, const data::Dataset& data) {
    return train(make, data, {.devices = testing::shared_gpu_set()});
  }

  static void expect_same_losses(const MakeModel& make, const data::Dataset& data,
                                 double tolerance) {
    const std::vector<double> gpu = train_on_gpu(make, data), cpu = train(make, data, {});
    ASSERT_EQ(gpu.size(), cpu.size());
    for (size_t i = 0; i < cpu.size(); ++i) {
      EXPECT_NEAR(gpu[i], cpu[i], tolerance * (1 + cpu[i])) << "step " << i;
    }
  }

  static constexpr int64_t kSteps = 6;
  fake_cuda::FakeCuda* fake_ = nullptr;  // null on a real card, which does not count
};

MakeModel normalized(std::shared_ptr<const Optimizer> optimizer,
                     Precision precision = Precision::kFloat32) {
  return [=](const SessionOptions& session) {
    auto model = std::make_unique<Model>(ModelOptions{.session = session, .precision = precision});
    model->add<Dense>({.units = 24, .activation = Activation::kRelu}).add<BatchNorm>();
    model->add<Dropout>({.rate = 0.2});
    model->add<Dense>({.units = 16, .activation = Activation::kTanh}).add<BatchNorm>();
    model->add<Dense>({.units = 3});
    model->compile(classifier(optimizer));
    return model;
  };
}

data::Dataset points() { return clusters(128).shuffle(7).batch(32); }

TEST_F(CudaModelsTest, TrainByEveryOptimizerAsOnTheCpu) {
  const auto rate = constant_rate(0.02);
  const std::shared_ptr<const Optimizer> optimizers[] = {
      std::make_shared<Sgd>(rate),
      std::make_shared<Sgd>(rate, rules::Sgd{.momentum = 0.9, .weight_decay = 1e-3}),
      std::make_shared<Sgd>(rate, rules::Sgd{.momentum = 0.9, .nesterov = true}),
      std::make_shared<RmsProp>(rate),
      std::make_shared<Adagrad>(rate),
      std::make_shared<Adam>(rate),
  };
  for (const auto& optimizer : optimizers) {
    SCOPED_TRACE(optimizer->name());
    expect_same_losses(normalized(optimizer), points(), 1e-3);
  }
}

TEST_F(CudaModelsTest, TrainInMixedPrecisionAsOnTheCpu) {
  const auto optimizer = std::make_shared<Adam>(constant_rate(0.02));
  for (const Precision precision : {Precision::kMixedBFloat16, Precision::kMixedFloat16}) {
    expect_same_losses(normalized(optimizer, precision), points(), 0.05);
  }
}

// 10 variables with two slots each, and 4 moving averages.
TEST_F(CudaModelsTest, HaveOneLaunchForAllVariables) {
  if (fake_ == nullptr) GTEST_SKIP() << "only the fake driver counts";
  for (const Precision precision : {Precision::kFloat32, Precision::kMixedBFloat16}) {
    fake_->reset_statistics();
    train_on_gpu(normalized(std::make_shared<Adam>(constant_rate(0.02)), precision), points());
    std::map<std::string, int64_t> updates;
    for (const auto& [name, count] : fake_->statistics().launches) {
      if (name.starts_with("update_")) updates[name] = count;
    }
    EXPECT_EQ(updates, (std::map<std::string, int64_t>{{"update_Adam_f32", kSteps},
                                                       {"update_MovingAverage_f32", kSteps}}));
  }
}

// 26 keys an example: one batch is so large that its keys are sorted, one is not.
TEST_F(CudaModelsTest, TrainSparseRowsAsOnTheCpu) {
  constexpr int64_t kKeys = 5200;
  const MakeModel make = [](const SessionOptions& session) {
    auto model = std::make_unique<Model>(ModelOptions{.session = session});
    model->add<Dlrm>({.rows = kKeys, .dimension = 4, .bottom = {8}, .top = {8}});
    model->compile({.optimizer = std::make_shared<Adagrad>(constant_rate(0.02)),
                    .loss = binary_cross_entropy(),
                    .metrics = {}});
    return model;
  };
  const data::Clicks log({.keys = kKeys});
  for (const int64_t batch : {20, 200}) {
    expect_same_losses(make, log.dataset(0, 4 * batch).batch(batch), 1e-3);
  }
}

}  // namespace
}  // namespace trireme::nn
