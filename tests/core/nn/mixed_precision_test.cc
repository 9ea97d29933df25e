// Training in mixed precision: as accurate as in f32, with checkpoints of f32, and right when
// gradients overflow.
#include "core/data/digits.h"
#include "core/nn/train_state.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using ::testing::HasSubstr;

struct Case {
  Precision precision = Precision::kFloat32;
  LossScaleOptions loss_scale = {};
  std::shared_ptr<const Optimizer> optimizer = std::make_shared<Adam>(constant_rate(0.01));
};

std::unique_ptr<Model> make_model(const Case& setup) {
  auto model = std::make_unique<Model>(
      ModelOptions{.precision = setup.precision, .loss_scale = setup.loss_scale});
  model->add<Dense>({.units = 16, .activation = Activation::kRelu}).add<BatchNorm>();
  model->add<Dropout>({.rate = 0.1}).add<Dense>({.units = 3});
  model->compile(classifier(setup.optimizer));
  return model;
}

data::Dataset make_data() { return clusters(100).shuffle(7).batch(16); }

float variable(Model& model, const std::string& name) {
  return model.session().variables().get(name).flat<float>()[0];
}

class PrecisionTest : public ::testing::TestWithParam<Precision> {};

TEST_P(PrecisionTest, LearnsDigitsAsInF32) {
  const auto accuracy = [](Precision precision) {
    Model model({.precision = precision});
    model.add<Conv2D>({.filters = 8, .activation = Activation::kRelu}).add<MaxPool2D>();
    model.add<BatchNorm>().add<Flatten>();
    model.add<Dense>({.units = 32, .activation = Activation::kRelu}).add<Dense>({.units = 10});
    model.compile(classifier(std::make_shared<Adam>(constant_rate(0.003))));
    const data::Dataset digits = data::digits(data::Split::kTest, 1).dataset();
    FitOptions options = quiet(3);
    options.validation = digits.skip(3000).take(500).batch(100);
    return model.fit(digits.take(3000).shuffle(1).batch(50), options).last("val_accuracy");
  };
  const double f32 = accuracy(Precision::kFloat32);
  EXPECT_GT(f32, 0.9);
  EXPECT_GT(accuracy(GetParam()), f32 - 0.02);
}

TEST_P(PrecisionTest, ResumesBitForBit) {
  const Case setup{.precision = GetParam()};
  const auto train = [&](FitOptions options, std::shared_ptr<Callback> extra) {
    auto model = make_model(setup);
    auto recorder = std::make_shared<LossRecorder>();
    options.callbacks = {recorder};
    if (extra) options.callbacks.push_back(extra);
    model->fit(make_data(), options);
    return std::pair(recorder->losses, model->weights());
  };
  const auto [losses, weights] = train(quiet(2), nullptr);
  auto stop = std::make_shared<StateAt>(5, true);
  train(quiet(2), stop);
  FitOptions options = quiet(2);
  options.resume = stop->state;
  const auto [rest, resumed] = train(options, nullptr);
  EXPECT_EQ(rest, std::vector<double>(losses.begin() + 5, losses.end()));
  for (const auto& [name, tensor] : weights) {
    EXPECT_EQ(std::memcmp(tensor.raw(), resumed.at(name).raw(), tensor.bytes()), 0) << name;
  }
}

TEST_P(PrecisionTest, GoesOnFromACheckpointOfF32AndBack) {
  auto stop = std::make_shared<StateAt>(7);
  FitOptions options = quiet(1);
  options.callbacks = {stop};
  make_model({})->fit(make_data(), options);
  for (const Precision next : {GetParam(), Precision::kFloat32}) {
    auto model = make_model({.precision = next});
    FitOptions more = quiet(next == Precision::kFloat32 ? 4 : 3);
    auto again = std::make_shared<StateAt>(21);
    more.callbacks = {again};
    more.resume = stop->state;
    EXPECT_LT(model->fit(make_data(), more).last("loss"), 0.7);
    for (const auto& [name, weight] : model->weights()) {
      EXPECT_EQ(weight.dtype(), DType::kFloat32) << name;
    }
    stop = again;
  }
}

INSTANTIATE_TEST_SUITE_P(Small, PrecisionTest,
                         ::testing::Values(Precision::kMixedBFloat16, Precision::kMixedFloat16));

// A scale that makes every gradient overflow: nothing may change but the scale, until it fits.
TEST(LossScaleTest, StepsThatOverflowAreSkippedWholeAndTheScaleRecovers) {
  auto model = make_model({.precision = Precision::kMixedFloat16,
                           .loss_scale = {.initial = 0x1p40, .growth_steps = 2000}});
  const data::Dataset data = make_data();
  model->build_training(batch_types(data));
  StepFunction step(model->session(), model->train_graph());
  data::Iterator iterator = data.repeat().iterator();
  data::Element batch;
  const auto state = [&] {
    StateMap values;
    for (const VariableSpec& spec : model->variables().all()) {
      if (!spec.is_optional) values[spec.name] = model->session().variables().get(spec.name);
    }
    return values;
  };
  const StateMap before = state();
  int skipped = 0;
  double scale = 0x1p40;
  StepInputs inputs{.learning_rate = 0.01};
  for (; skipped < 40; ++skipped, ++inputs.step) {
    iterator.next(batch);
    step.run(batch, inputs);
    if (variable(*model, "loss_scale/skipped_steps") == static_cast<float>(skipped)) break;
    scale /= 2;
    EXPECT_EQ(variable(*model, "loss_scale/scale"), scale);
    EXPECT_EQ(variable(*model, "loss_scale/good_steps"), 0);
    for (const auto& [name, tensor] : before) {
      ASSERT_EQ(
          std::memcmp(tensor.raw(), model->session().variables().get(name).raw(), tensor.bytes()),
          0)
          << name << " changed in a step that was skipped";
    }
  }
  EXPECT_GT(skipped, 5);
  EXPECT_LT(skipped, 40);
  // The first that was not: the optimizer counts it as its first.
  EXPECT_EQ(variable(*model, "loss_scale/scale"), scale);
  EXPECT_EQ(variable(*model, "loss_scale/good_steps"), 1);
  const StateMap after = state();
  for (const char* name :
       {"dense/kernel", "batch_norm/moving_mean", "optimizer/adam/m/dense/kernel"}) {
    EXPECT_NE(std::memcmp(before.at(name).raw(), after.at(name).raw(), before.at(name).bytes()), 0)
        << name;
    for (int64_t i = 0; i < after.at(name).elements(); ++i) {
      EXPECT_TRUE(std::isfinite(after.at(name).as_double(i))) << name;
    }
  }
  // Adam's first step moves each weight by the learning rate, where there is a gradient; a step
  // that it took for its twentieth would move it by less.
  double largest = 0;
  for (int64_t i = 0; i < after.at("dense/kernel").elements(); ++i) {
    largest = std::max(largest, std::abs(after.at("dense/kernel").as_double(i) -
                                         before.at("dense/kernel").as_double(i)));
  }
  EXPECT_NEAR(largest, 0.01, 0.001);
}

TEST(LossScaleTest, GrowsAfterGoodSteps) {
  auto model = make_model(
      {.precision = Precision::kMixedFloat16, .loss_scale = {.initial = 4, .growth_steps = 3}});
  model->fit(make_data(), quiet(1));  // 7 steps
  EXPECT_EQ(variable(*model, "loss_scale/scale"), 16);
  EXPECT_EQ(variable(*model, "loss_scale/good_steps"), 1);
  EXPECT_EQ(variable(*model, "loss_scale/skipped_steps"), 0);
}

TEST(LossScaleTest, IsPartOfACheckpointButOfNoOtherTraining) {
  auto stop = std::make_shared<StateAt>(3);
  FitOptions options = quiet(1);
  options.callbacks = {stop};
  make_model({.precision = Precision::kMixedFloat16, .loss_scale = {.initial = 8}})
      ->fit(make_data(), options);
  EXPECT_EQ(stop->state.at("loss_scale/scale").flat<float>()[0], 8);
  EXPECT_EQ(stop->state.at("loss_scale/good_steps").flat<float>()[0], 3);
  auto bf16 = make_model({.precision = Precision::kMixedBFloat16});
  bf16->fit(make_data(), quiet(1));
  EXPECT_EQ(bf16->variables().find("loss_scale/scale"), nullptr);
}

TEST(PrecisionNamesTest, AreKerasOnesAndShortOnes) {
  EXPECT_EQ(precision_from_name("bf16"), Precision::kMixedBFloat16);
  EXPECT_EQ(precision_from_name("mixed_float16"), Precision::kMixedFloat16);
  EXPECT_EQ(name(precision_from_name("f32")), "float32");
  EXPECT_THAT(error_of([] { precision_from_name("fp8"); }), HasSubstr("known are float32 (f32)"));
}

}  // namespace
}  // namespace trireme::nn
