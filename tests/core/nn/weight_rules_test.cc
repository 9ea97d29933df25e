// Regularizers, constraints and frozen variables: what they do to the loss and to the variables,
// against their definitions.
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

constexpr double kRate = 0.125;

data::Dataset one_example() {
  return data::from_tensors({Tensor::from<float>({1, 2}, {1, 2}), Tensor::from<float>({1, 1}, {3})},
                            {"x", "y"})
      .batch(1);
}

// One step on the model y = x · kernel; returns the loss before it and the kernel after it.
struct Step {
  double loss;
  std::vector<float> kernel;
};
Step one_step(DenseOptions options, std::shared_ptr<const Optimizer> optimizer = nullptr) {
  options.units = 1;
  options.use_bias = false;
  Model model;
  model.add<Dense>(options);
  if (!optimizer) optimizer = std::make_shared<Sgd>(constant_rate(kRate));
  model.compile({.optimizer = optimizer, .loss = mean_squared_error()});
  model.build({DType::kFloat32, {-1, 2}});
  model.set_weights({{"dense/kernel", Tensor::from<float>({2, 1}, {0.5, -1})}});
  const double loss = model.fit(one_example(), quiet(1)).last("loss");
  const Tensor kernel = model.weights().at("dense/kernel");
  return {loss, {kernel.flat<float>().begin(), kernel.flat<float>().end()}};
}
// Without penalties: y = −1.5, so the loss is 20.25 and its gradient −9·{1, 2}.
constexpr double kLoss = 20.25;
constexpr float kFirst = 0.5 + 9 * kRate, kSecond = -1 + 18 * kRate;

TEST(RegularizerTest, ThePenaltyIsInTheLossAndInTheGradient) {
  const Step plain = one_step({});
  EXPECT_NEAR(plain.loss, kLoss, 1e-5);
  const Step with_l2 = one_step({.kernel_regularizer = l2(0.1)});
  EXPECT_NEAR(with_l2.loss, kLoss + 0.1 * 1.25, 1e-5);
  EXPECT_NEAR(with_l2.kernel[0], kFirst - kRate * 0.2 * 0.5, 1e-6);
  EXPECT_NEAR(with_l2.kernel[1], kSecond + kRate * 0.2 * 1, 1e-6);
  const Step with_l1 = one_step({.kernel_regularizer = l1(0.1)});
  EXPECT_NEAR(with_l1.loss, kLoss + 0.1 * 1.5, 1e-5);
  EXPECT_NEAR(with_l1.kernel[0], kFirst - kRate * 0.1, 1e-6);
  EXPECT_NEAR(with_l1.kernel[1], kSecond + kRate * 0.1, 1e-6);
  const Step both = one_step({.kernel_regularizer = l1_l2(0.1, 0.2)});
  EXPECT_NEAR(both.loss, kLoss + 0.15 + 0.25, 1e-5);
}

// A layer that is called twice has one kernel, whose penalty counts once; what it gives counts each
// time.
TEST(RegularizerTest, AVariableCountsOnceAndActivationsForEachCall) {
  const auto loss_with = [](RegularizerPtr kernel, RegularizerPtr activity) {
    const auto x = LayerOutput(TensorType{DType::kFloat32, {-1, 2}});
    const LayerFunction layer(
        std::make_shared<Dense>(DenseOptions{.units = 2,
                                             .use_bias = false,
                                             .kernel_initializer = ones(),
                                             .kernel_regularizer = kernel,
                                             .activity_regularizer = activity}));
    Model model({x}, {layer(layer(x))});
    model.compile({.optimizer = std::make_shared<Sgd>(), .loss = mean_squared_error()});
    // x · kernel is {a, a}, twice over {2a, 2a}: for the rows 3 and 7 and for 6 and 14.
    const Tensor features = Tensor::from<float>({2, 2}, {1, 2, 3, 4});
    const Tensor labels = Tensor::from<float>({2, 2}, {6, 6, 14, 14});
    return model.evaluate(data::from_tensors({features, labels}, {"x", "y"}).batch(2)).at("loss");
  };
  EXPECT_NEAR(loss_with(nullptr, nullptr), 0, 1e-6);
  EXPECT_NEAR(loss_with(l2(0.5), nullptr), 0.5 * 4, 1e-5);
  // Divided by the number of examples.
  EXPECT_NEAR(loss_with(nullptr, l1(0.5)), 0.5 * (2 * (3 + 7) + 2 * (6 + 14)) / 2, 1e-4);
}

TEST(RegularizerTest, OrthogonalRowsAndColumnsHaveNoPenalty) {
  const auto penalty = [](const RegularizerPtr& regularizer, std::vector<float> values) {
    Model model;
    model.add<Dense>({.units = 2, .use_bias = false, .kernel_regularizer = regularizer});
    model.compile({.optimizer = std::make_shared<Sgd>(), .loss = mean_squared_error()});
    model.build({DType::kFloat32, {-1, 2}});
    model.set_weights({{"dense/kernel", Tensor::from<float>({2, 2}, values)}});
    const Tensor none = Tensor::zeros(DType::kFloat32, {1, 2});
    return model.evaluate(data::from_tensors({none, none}, {"x", "y"}).batch(1)).at("loss");
  };
  EXPECT_NEAR(penalty(orthogonal_rows(1), {3, 4, -8, 6}), 0, 1e-6);
  EXPECT_NEAR(penalty(orthogonal_rows(1), {3, 4, 6, 8}), 1, 1e-6);
  EXPECT_NEAR(penalty(orthogonal_columns(0.5), {1, 1, 0, 1}), 0.5 * std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(penalty(orthogonal_rows(1), {0, 0, 1, 1}), 0, 1e-6);
  EXPECT_THAT(error_of([] { one_step({.kernel_regularizer = orthogonal_columns()}); }),
              HasSubstr("orthogonal: expected at least two columns, found [2, 1]"));
}

TEST(ConstraintTest, HoldsAfterEachUpdate) {
  const double norm = std::hypot(kFirst, kSecond);
  const auto expect_kernel = [](const Step& step, double first, double second) {
    EXPECT_NEAR(step.kernel[0], first, 1e-5);
    EXPECT_NEAR(step.kernel[1], second, 1e-5);
  };
  ASSERT_GT(norm, 2);
  expect_kernel(one_step({.kernel_constraint = max_norm()}), kFirst * 2 / norm, kSecond * 2 / norm);
  expect_kernel(one_step({.kernel_constraint = max_norm(10)}), kFirst, kSecond);
  expect_kernel(one_step({.kernel_constraint = unit_norm()}), kFirst / norm, kSecond / norm);
  expect_kernel(one_step({.kernel_constraint = min_max_norm(5, 6, 0.5)}),
                kFirst * (0.5 + 2.5 / norm), kSecond * (0.5 + 2.5 / norm));
  // Along the other axis each number is a norm of its own.
  expect_kernel(one_step({.kernel_constraint = max_norm(1, {{1}})}), 1, 1);
  EXPECT_THAT(error_of([] { one_step({.kernel_constraint = max_norm(1, {{2}})}); }),
              HasSubstr("constraint: axis: expected axes of [2, 1], found 2"));
}

TEST(ConstraintTest, NegativeWeightsBecomeZero) {
  const Step step =
      one_step({.kernel_constraint = non_neg()}, std::make_shared<Adam>(constant_rate(0.001)));
  EXPECT_NEAR(step.kernel[0], 0.501, 1e-5);
  EXPECT_EQ(step.kernel[1], 0);
}

// The slots and the kernel of a layer that is not trained do not exist or change; those of the
// other one do.
TEST(FrozenTest, VariablesKeepTheirValuesAndHaveNoSlots) {
  const auto train = [](bool first_trains, std::vector<std::string> freeze) {
    Model model({.freeze = std::move(freeze)});
    auto first = std::make_unique<Dense>(DenseOptions{.units = 4, .name = "first"});
    first->set_trainable(first_trains);
    model.add(std::move(first)).add<Dense>({.units = 3, .name = "second"});
    model.compile(classifier(std::make_shared<Adam>()));
    model.build({DType::kFloat32, {-1, 2}});
    const StateMap before = model.weights();
    model.fit(clusters(64).batch(16), quiet(1));
    std::vector<std::string> changed;
    for (const auto& [name, value] : model.weights()) {
      const Tensor& old = before.at(name);
      if (!std::ranges::equal(value.flat<float>(), old.flat<float>())) changed.push_back(name);
    }
    for (const VariableSpec& spec : model.variables().all()) {
      if (spec.role == VariableRole::kSlot) changed.push_back(spec.name);
    }
    return changed;
  };
  const auto second = testing::UnorderedElementsAre(
      "second/bias", "second/kernel", "optimizer/adam/m/second/bias",
      "optimizer/adam/v/second/bias", "optimizer/adam/m/second/kernel",
      "optimizer/adam/v/second/kernel");
  EXPECT_THAT(train(false, {}), second);
  EXPECT_THAT(train(true, {"first"}), second);
  EXPECT_THAT(train(true, {"fir.*/(kernel|bias)"}), second);
  EXPECT_EQ(train(true, {"first/bias"}).size(), 9u);
  EXPECT_THAT(error_of([&] { train(true, {"encoder/.*"}); }),
              HasSubstr("freeze: expected the name of a layer or a variable"));
  EXPECT_THAT(error_of([&] { train(true, {"("}); }), HasSubstr("expected a regular expression"));
  EXPECT_THAT(error_of([&] { train(true, {".*"}); }), HasSubstr("no trainable variable"));
}

// As in Keras: it uses its averages in training, too, and leaves them alone.
TEST(FrozenTest, ABatchNormWorksAsInInference) {
  Model model({.freeze = {"batch_norm"}});
  model.add<BatchNorm>().add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Sgd>(constant_rate(0))));
  const data::Dataset data = clusters(60).batch(20);
  const double trained = model.fit(data, quiet(1)).last("loss");
  EXPECT_NEAR(trained, model.evaluate(data).at("loss"), 1e-6);
  const Tensor mean = model.weights().at("batch_norm/moving_mean");
  EXPECT_THAT(mean.flat<float>(), testing::Each(0.0f));
}

}  // namespace
}  // namespace trireme::nn
