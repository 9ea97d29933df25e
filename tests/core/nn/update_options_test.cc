// What an optimizer does beside its rule: clipping, decay of some weights only, moving averages,
// accumulated gradients. And the optimizers of whole variables. All against their definitions.
#include "core/nn/whole_variable_optimizers.h"
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

constexpr double kRate = 0.125;
using Vector = std::vector<double>;

// y = x · kernel + bias for x = {1, 2} and y = 3, from kernel {0.5, −1} and bias 0.25: the first
// gradient is 2·(y − 3) = −8.5 times {1, 2} and 1.
constexpr double kError = -8.5;

struct Trained {
  Vector kernel;
  double bias;
  StateMap slots;
};
Vector numbers(const Tensor& tensor) {
  Vector values;
  for (const float value : tensor.flat<float>()) values.push_back(value);
  return values;
}

class Small {
 public:
  explicit Small(std::shared_ptr<const Optimizer> optimizer) {
    model.add<Dense>({.units = 1});
    model.compile({.optimizer = std::move(optimizer), .loss = mean_squared_error()});
    model.build({DType::kFloat32, {-1, 2}});
    model.set_weights({{"dense/kernel", Tensor::from<float>({2, 1}, {0.5, -1})},
                       {"dense/bias", Tensor::from<float>({1}, {0.25})}});
  }
  Trained train(int64_t steps) {
    const data::Dataset data =
        data::from_tensors({Tensor::from<float>({1, 2}, {1, 2}), Tensor::from<float>({1, 1}, {3})},
                           {"x", "y"})
            .batch(1);
    StateMap all;
    FitOptions options = quiet(steps);
    const auto state = std::make_shared<StateAt>(steps);
    options.callbacks = {state};
    model.fit(data, options);
    return {numbers(state->state.at("dense/kernel")), numbers(state->state.at("dense/bias"))[0],
            state->state};
  }
  Model model;
};

Trained one_step(UpdateOptions options, rules::Sgd rule = {}) {
  return Small(std::make_shared<Sgd>(constant_rate(kRate), rule, options)).train(1);
}
void expect_change(const Trained& found, Vector kernel, double bias) {
  EXPECT_NEAR(found.kernel[0], 0.5 + kernel[0], 1e-5);
  EXPECT_NEAR(found.kernel[1], -1 + kernel[1], 1e-5);
  EXPECT_NEAR(found.bias, 0.25 + bias, 1e-5);
}

TEST(ClippingTest, NormsAndValues) {
  const double g = -kRate * kError;
  expect_change(one_step({}), {g, 2 * g}, g);
  // The kernel's gradient has the norm 8.5·√5, the bias's 8.5.
  expect_change(one_step({.clipnorm = 2}), {kRate * 2 / std::sqrt(5), kRate * 4 / std::sqrt(5)},
                kRate * 2);
  expect_change(one_step({.clipnorm = 10}), {kRate * 10 / std::sqrt(5), kRate * 20 / std::sqrt(5)},
                g);
  expect_change(one_step({.clipvalue = 10}), {g, kRate * 10}, g);
  // All together: 8.5·√6.
  expect_change(one_step({.global_clipnorm = 3}),
                {kRate * 3 / std::sqrt(6), kRate * 6 / std::sqrt(6)}, kRate * 3 / std::sqrt(6));
  expect_change(one_step({.global_clipnorm = 100}), {g, 2 * g}, g);
  EXPECT_THAT(error_of([] { one_step({.clipnorm = 1, .clipvalue = 1}); }),
              HasSubstr("expected one of them at most"));
}

// The rows of a table that repeat in a batch are one gradient.
TEST(ClippingTest, TheNormOfASparseGradientIsThatOfItsSums) {
  const auto row_after = [](UpdateOptions options) {
    Model model;
    model.add<Embedding>({.rows = 4, .dimension = 1, .initializer = zeros()}).add<Flatten>();
    model.compile({.optimizer = std::make_shared<Sgd>(constant_rate(1), rules::Sgd{}, options),
                   .loss = mean_squared_error()});
    const Tensor keys = Tensor::from<int64_t>({2, 1}, {2, 2});
    const Tensor values = Tensor::from<float>({2, 1}, {3, 3});
    model.fit(data::from_tensors({keys, values}, {"x", "y"}).batch(2), quiet(1));
    return numbers(model.weights().at("embedding/embeddings"));
  };
  // Each of two examples has the gradient −3.
  EXPECT_THAT(row_after({}), testing::ElementsAre(0, 0, 6, 0));
  EXPECT_THAT(row_after({.clipnorm = 5}), testing::ElementsAre(0, 0, 5, 0));
  EXPECT_THAT(row_after({.clipvalue = 5}), testing::ElementsAre(0, 0, 5, 0));
  EXPECT_THAT(row_after({.global_clipnorm = 7}), testing::ElementsAre(0, 0, 6, 0));
}

TEST(WeightDecayTest, LeavesOutWhatItIsToldTo) {
  const double g = -kRate * kError, d = kRate * 0.1;
  const rules::Sgd rule{.weight_decay = 0.1};
  expect_change(one_step({}, rule), {g - d * 0.5, 2 * g + d}, g - d * 0.25);
  expect_change(one_step({.decay = UpdateOptions::Decay::kKernels}, rule), {g - d * 0.5, 2 * g + d},
                g);
  expect_change(one_step({.exclude_from_weight_decay = {".*/kernel"}}, rule), {g, 2 * g},
                g - d * 0.25);
  expect_change(one_step({.exclude_from_weight_decay = {"dense"}}, rule), {g, 2 * g}, g);
}

// As in Keras: the first average is the first new value.
TEST(AverageTest, FollowsTheVariablesAndServesEvaluation) {
  const auto optimizer = std::make_shared<Sgd>(
      constant_rate(0.01), rules::Sgd{}, UpdateOptions{.use_ema = true, .ema_momentum = 0.75});
  Small small(optimizer);
  const Trained first = Small(optimizer).train(1), second = Small(optimizer).train(2),
                third = small.train(3);
  const auto average_of = [](const Trained& trained) {
    return numbers(trained.slots.at("optimizer/sgd/ema/dense/kernel"));
  };
  EXPECT_EQ(average_of(first), first.kernel);
  double expected = first.kernel[1];
  for (const Trained* next : {&second, &third}) {
    expected = 0.75 * expected + 0.25 * next->kernel[1];
  }
  EXPECT_NEAR(average_of(third)[1], expected, 1e-6);
  // Predictions are of the averages, and the variables are there again.
  const double bias = numbers(third.slots.at("optimizer/sgd/ema/dense/bias"))[0];
  const Tensor y = small.model.predict(Tensor::from<float>({1, 2}, {0, 1}));
  EXPECT_NEAR(y.item<float>(), expected + bias, 1e-6);
  EXPECT_EQ(numbers(small.model.weights().at("dense/kernel")), third.kernel);
  // So are those of another process that has the checkpoint only.
  const StateMap averaged = with_averages(third.slots, "sgd");
  EXPECT_EQ(numbers(averaged.at("dense/kernel")), average_of(third));
  EXPECT_THAT(error_of([&] { with_averages(third.slots, "adam"); }), HasSubstr("use_ema"));
}

TEST(AverageTest, OverwritesTheVariablesNowAndThen) {
  const auto optimizer = std::make_shared<Sgd>(
      constant_rate(0.01), rules::Sgd{},
      UpdateOptions{.use_ema = true, .ema_momentum = 0.75, .ema_overwrite_frequency = 2});
  const auto plain = std::make_shared<Sgd>(constant_rate(0.01));
  const Trained first = Small(plain).train(1), second = Small(plain).train(2);
  EXPECT_EQ(Small(optimizer).train(1).kernel, first.kernel);
  const Trained found = Small(optimizer).train(2);
  EXPECT_NEAR(found.kernel[0], 0.75 * first.kernel[0] + 0.25 * second.kernel[0], 1e-6);
  EXPECT_EQ(found.kernel, numbers(found.slots.at("optimizer/sgd/ema/dense/kernel")));
}

// Before any step they are the variables, those that were loaded too.
TEST(AverageTest, BeginsAsTheVariables) {
  const auto optimizer =
      std::make_shared<Sgd>(constant_rate(0.01), rules::Sgd{}, UpdateOptions{.use_ema = true});
  Small small(optimizer);
  small.model.build_training({{{DType::kFloat32, {-1, 2}}}, {{DType::kFloat32, {-1, 1}}}});
  EXPECT_NEAR(small.model.predict(Tensor::from<float>({1, 2}, {1, 2})).item<float>(), -1.25, 1e-6);
  small.model.set_weights({{"dense/kernel", Tensor::from<float>({2, 1}, {1, 1})},
                           {"dense/bias", Tensor::from<float>({1}, {1})}});
  EXPECT_NEAR(small.model.predict(Tensor::from<float>({1, 2}, {1, 2})).item<float>(), 4, 1e-6);
}

// Four steps of one example, averaged two and two, are two steps of the mean gradient.
TEST(AccumulationTest, AveragesTheGradientsOfSeveralSteps) {
  const auto adam = [](UpdateOptions options) {
    return std::make_shared<Adam>(constant_rate(kRate), rules::Adam{}, options);
  };
  const Trained two = Small(adam({})).train(2);
  const Trained four = Small(adam({.gradient_accumulation_steps = 2})).train(4);
  for (int i = 0; i < 2; ++i) EXPECT_NEAR(four.kernel[i], two.kernel[i], 1e-6);
  EXPECT_NEAR(four.bias, two.bias, 1e-6);
  const Trained half = Small(adam({.gradient_accumulation_steps = 2})).train(1);
  expect_change(half, {0, 0}, 0);
  EXPECT_NEAR(numbers(half.slots.at("optimizer/adam/gradient_sum/dense/kernel"))[1], 2 * kError,
              1e-4);
}

TEST(WholeVariableTest, LambScalesTheStepToTheVariable) {
  const Trained found =
      Small(std::make_shared<Lamb>(constant_rate(kRate), LambOptions{.weight_decay = 0.1}))
          .train(1);
  // The first step of Adam is the sign of the gradient, of norm √2 for the kernel.
  const double keep = 1 - kRate * 0.1, norm = keep * std::sqrt(1.25);
  EXPECT_NEAR(found.kernel[0], keep * 0.5 + kRate * norm / std::sqrt(2), 1e-5);
  EXPECT_NEAR(found.kernel[1], -keep + kRate * norm / std::sqrt(2), 1e-5);
  EXPECT_NEAR(found.bias, keep * 0.25 * (1 + kRate), 1e-5);
}

TEST(WholeVariableTest, LarsScalesTheGradientAndKeepsMomentum) {
  const LarsOptions lars{.momentum = 0.5, .weight_decay = 0.1, .trust_coefficient = 0.01};
  UpdateOptions kernels;
  kernels.decay = UpdateOptions::Decay::kKernels;
  const auto optimizer = std::make_shared<Lars>(constant_rate(kRate), lars, kernels);
  Vector w = {0.5, -1}, v = {0, 0};
  double bias = 0.25, bias_v = 0;
  for (int step = 0; step < 2; ++step) {
    const double error = 2 * (w[0] + 2 * w[1] + bias - 3);
    const double w_norm = std::hypot(w[0], w[1]), g_norm = std::abs(error) * std::sqrt(5);
    const double trust = 0.01 * w_norm / (g_norm + 0.1 * w_norm);
    for (size_t i = 0; i < 2; ++i) {
      v[i] = 0.5 * v[i] - kRate * trust * (error * (i + 1.0) + 0.1 * w[i]);
      w[i] += v[i];
    }
    bias_v = 0.5 * bias_v - kRate * error;  // neither decayed nor scaled
    bias += bias_v;
  }
  const Trained found = Small(optimizer).train(2);
  for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(found.kernel[i], w[i], 1e-5);
  EXPECT_NEAR(found.bias, bias, 1e-5);
}

TEST(WholeVariableTest, AdafactorKeepsRowsAndColumns) {
  Small small(std::make_shared<Adafactor>(constant_rate(kRate)));
  const Trained found = small.train(1);
  EXPECT_EQ(found.slots.at("optimizer/adafactor/row/dense/kernel").shape(), (Shape{2}));
  EXPECT_EQ(found.slots.at("optimizer/adafactor/column/dense/kernel").shape(), (Shape{1}));
  EXPECT_EQ(found.slots.at("optimizer/adafactor/v/dense/bias").shape(), (Shape{1}));
  // In the first step nothing is kept of zeros: the step is the sign of the gradient, in
  // proportion to the root mean square of the variable.
  const double step = kRate * std::sqrt(1.25 / 2);
  expect_change(found, {step, step}, kRate * 0.25);
}

// A GPU or a server that has a piece of a variable cannot know its norm.
TEST(WholeVariableTest, RefusesToWorkOnPieces) {
  EXPECT_THAT(error_of([] { Lamb().update_op(); }),
              HasSubstr("lamb needs whole variables, which parameter servers keep in pieces"));
}

}  // namespace
}  // namespace trireme::nn
