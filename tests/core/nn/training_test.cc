#include <cmath>
#include <limits>

#include "core/autodiff/gradients.h"
#include "core/data/digits.h"
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void add_classifier(Model& model) {
  model.add<Dense>({.units = 16, .activation = Activation::kRelu}).add<Dense>({.units = 3});
}

TEST(TrainingTest, ASmallModelLearns) {
  Model model;
  add_classifier(model);
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.01))));
  FitOptions options = quiet(5);
  options.validation = clusters(200, 3, 99).batch(64);
  const History history = model.fit(clusters(500).shuffle(1).batch(16), options);
  EXPECT_EQ(history.epochs, 5);
  EXPECT_EQ(history.steps, 5 * 32);  // 500 / 16, the last batch smaller
  EXPECT_EQ(history.values.at("loss").size(), 5u);
  EXPECT_LT(history.last("loss"), 0.5 * history.values.at("loss")[0].value());
  EXPECT_GT(history.last("val_accuracy"), 0.95);
  const auto values = model.evaluate(*options.validation);
  EXPECT_DOUBLE_EQ(values.at("accuracy"), history.last("val_accuracy"));
  EXPECT_DOUBLE_EQ(values.at("loss"), history.last("val_loss"));
}

// Metrics of batches of 64, 64, 64 and 8 are the metrics of all examples.
TEST(TrainingTest, EvaluationDoesNotDependOnTheBatchSize) {
  Model model;
  add_classifier(model);
  model.compile(classifier(std::make_shared<Adam>()));
  const auto a = model.evaluate(clusters(200).batch(64)),
             b = model.evaluate(clusters(200).batch(200));
  EXPECT_NEAR(a.at("loss"), b.at("loss"), 1e-6);
  EXPECT_NEAR(a.at("accuracy"), b.at("accuracy"), 1e-6);  // a batch's mean is f32
}

TEST(TrainingTest, PredictsAllBatchesInOrder) {
  Model model;
  add_classifier(model);
  const data::Dataset data = clusters(10);
  const Tensor parts = model.predict(data.batch(4));
  const Tensor whole = model.predict(data.batch(10));
  ASSERT_EQ(parts.shape(), (Shape{10, 3}));
  for (int64_t i = 0; i < 30; ++i) EXPECT_NEAR(parts.as_double(i), whole.as_double(i), 1e-6);
}

TEST(TrainingTest, EndlessDataNeedsStepsPerEpoch) {
  Model model;
  add_classifier(model);
  model.compile(classifier(std::make_shared<Adam>()));
  const auto endless = clusters(40).batch(8).repeat();
  EXPECT_THAT(error_of([&] { model.fit(endless, quiet(1)); }), HasSubstr("give steps_per_epoch"));
  FitOptions options = quiet(2);
  options.steps_per_epoch = 7;
  EXPECT_EQ(model.fit(endless, options).steps, 14);
}

// A generator's end is known only when it comes.
TEST(TrainingTest, AStreamOfUnknownLengthIsReadToItsEndInEachEpoch) {
  Model model;
  add_classifier(model);
  model.compile(classifier(std::make_shared<Adam>()));
  const data::Dataset source = clusters(40);
  const auto stream = data::from_generator(source.element_spec(), [&](uint64_t) -> data::Generator {
    auto iterator = std::make_shared<data::Iterator>(source.iterator());
    return [iterator](data::Element& out) { return iterator->next(out); };
  });
  EXPECT_EQ(model.fit(stream.batch(8), quiet(3)).steps, 15);
}

TEST(TrainingTest, MistakesAreExplained) {
  Model model;
  add_classifier(model);
  EXPECT_THAT(error_of([&] { model.fit(clusters(8).batch(4), quiet(1)); }),
              HasSubstr("call compile()"));
  model.compile(classifier(std::make_shared<Adam>()));
  EXPECT_THAT(error_of([&] { model.fit(clusters(8).batch(4).take(0), quiet(1)); }),
              HasSubstr("is empty"));
  EXPECT_THAT(error_of([&] {
                model.fit(
                    data::from_tensors({Tensor::zeros(DType::kFloat32, {4, 2})}, {"x"}).batch(2),
                    quiet(1));
              }),
              HasSubstr("expected a data set of features and labels, found 1 component"));
}

data::Dataset with_value(float bad) {
  std::vector<float> x(2 * 16, 0.5f);
  x[2 * 13] = bad;
  return data::from_tensors({Tensor::from<float>({16, 2}, x), Tensor::zeros(DType::kInt64, {16})},
                            {"point", "label"})
      .batch(8);
}

TEST(TrainingTest, ANanInTheDataIsNamedWithItsRow) {
  Model model;
  model.add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Adam>()));
  EXPECT_THAT(
      error_of([&] { model.fit(with_value(std::numeric_limits<float>::quiet_NaN()), quiet(1)); }),
      AllOf(HasSubstr("step 2 (epoch 1): the loss is nan"),
            HasSubstr("row 5 of \"point\" in this batch, element 10 of f32[8, 2] is nan")));
}

TEST(TrainingTest, AnExplodingVariableIsNamed) {
  Model model;
  model.add<Dense>({.units = 1, .name = "first"});
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(1e30)), .loss = mean_squared_error()});
  const Tensor x = Tensor::from<float>({4, 1}, {1, 2, 3, 4});
  const auto data = data::from_tensors({x, x}, {"x", "y"}).batch(4);
  EXPECT_THAT(
      error_of([&] { model.fit(data, quiet(20)); }),
      AllOf(HasSubstr("the first tensor that is not finite is the variable \"first/kernel\""),
            HasSubstr("lower learning rate")));
}

TEST(TrainingTest, AnOverflowingLayerIsNamed) {
  Model model;
  model.add<Dense>(
      {.units = 1, .use_bias = false, .kernel_initializer = constant(1e30), .name = "huge"});
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(0)), .loss = mean_squared_error()});
  const Tensor x = Tensor::from<float>({1, 1}, {1e-3f});
  const std::string error = error_of([&] {
    model.fit(data::from_tensors({x, x}, {"x", "y"}).batch(1), quiet(1));
  });
  EXPECT_THAT(error, HasSubstr("the loss is inf; "));
}

// The loss of a training's last step is that before its update.
TEST(TrainingTest, WeightsThatAreNotFiniteEndTheEpoch) {
  Model model;
  model.add<Dense>({.units = 1, .name = "first"});
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(1e39)), .loss = mean_squared_error()});
  const Tensor x = Tensor::from<float>({4, 1}, {1, 2, 3, 4});
  const auto data = data::from_tensors({x, x}, {"x", "y"}).batch(4);
  EXPECT_THAT(error_of([&] { model.fit(data, quiet(1)); }),
              HasSubstr("after step 1 (epoch 1): the first tensor that is not finite is the "
                        "variable \"first/kernel\""));
}

TEST(TrainingTest, NanIsAllowedWhenAskedFor) {
  Model model;
  model.add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Adam>()));
  FitOptions options = quiet(1);
  options.allow_nan = true;
  EXPECT_TRUE(std::isnan(
      model.fit(with_value(std::numeric_limits<float>::quiet_NaN()), options).last("loss")));
}

// What a strategy does: it changes gradients before the updates are made.
TEST(TrainingTest, ARewriteSeesGradientsBeforeUpdates) {
  auto kernel_after = [](TrainGraphRewrite rewrite) {
    Model model;
    model.add<Dense>({.units = 3});
    CompileOptions options = classifier(std::make_shared<Sgd>(constant_rate(0.1)));
    options.rewrite_gradients = std::move(rewrite);
    model.compile(options);
    model.fit(clusters(32).batch(32), quiet(1));
    return model.weights().at("dense/kernel").as_double(0);
  };
  const double none = kernel_after([](TrainGraph& train) {
    EXPECT_EQ(train.updates.size(), 2u);
    for (Update& update : train.updates) {
      EXPECT_EQ(update.apply, nullptr);
      update.gradient.values =
          update.gradient.values * ops::scalar(*train.graph, DType::kFloat32, 0);
    }
  });
  Model untouched;
  untouched.add<Dense>({.units = 3});
  untouched.build({DType::kFloat32, {-1, 2}});
  EXPECT_EQ(none, untouched.weights().at("dense/kernel").as_double(0));
  EXPECT_NE(none, kernel_after({}));
}

TEST(TrainingTest, LenetReadsDigitsAfterOneEpoch) {
  Model model({.name = "lenet"});
  model.add<ZeroPad2D>({.top = 2, .bottom = 2, .left = 2, .right = 2});
  model.add<Conv2D>({.filters = 6, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
  model.add<MaxPool2D>();
  model.add<Conv2D>({.filters = 16, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
  model.add<MaxPool2D>().add<Flatten>();
  model.add<Dense>({.units = 120, .activation = Activation::kRelu});
  model.add<Dense>({.units = 84, .activation = Activation::kRelu});
  model.add<Dense>({.units = 10});
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.002))));
  FitOptions options = quiet(1);
  options.validation = data::digits(data::Split::kTest, 1, 1000).dataset().batch(100);
  const auto train =
      data::digits(data::Split::kTrain, 1, 6000).dataset().shuffle(1).batch(32).prefetch(2);
  EXPECT_GT(model.fit(train, options).last("val_accuracy"), 0.9);
}

}  // namespace
}  // namespace trireme::nn
