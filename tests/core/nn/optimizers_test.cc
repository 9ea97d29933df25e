#include "core/nn/optimizers.h"

#include "core/nn/muon.h"
#include "core/nn/whole_variable_optimizers.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::ElementsAre;

std::vector<std::string> slots_of(std::shared_ptr<const Optimizer> optimizer) {
  Model model;
  model.add<Dense>({.units = 2, .use_bias = false});
  model.compile(classifier(std::move(optimizer)));
  model.build_training({{{DType::kFloat32, {-1, 2}}}, {{DType::kInt64, {-1}}}});
  std::vector<std::string> names;
  for (const VariableSpec& spec : model.variables().all()) {
    if (spec.role == VariableRole::kSlot) names.push_back(spec.name);
  }
  return names;
}

TEST(OptimizersTest, SlotsAreNamedAfterOptimizerSlotAndVariable) {
  EXPECT_THAT(slots_of(std::make_shared<Adam>()),
              ElementsAre("optimizer/adam/m/dense/kernel", "optimizer/adam/v/dense/kernel"));
  EXPECT_THAT(slots_of(std::make_shared<Amsgrad>()),
              ElementsAre("optimizer/amsgrad/m/dense/kernel", "optimizer/amsgrad/v/dense/kernel",
                          "optimizer/amsgrad/top/dense/kernel"));
  EXPECT_THAT(slots_of(std::make_shared<Sgd>()), ElementsAre());
  EXPECT_THAT(slots_of(std::make_shared<Sgd>(constant_rate(.1), rules::Sgd{.momentum = .9})),
              ElementsAre("optimizer/sgd/momentum/dense/kernel"));
  EXPECT_THAT(slots_of(std::make_shared<Adagrad>()),
              ElementsAre("optimizer/adagrad/accumulator/dense/kernel"));
  EXPECT_THAT(slots_of(std::make_shared<RmsProp>()),
              ElementsAre("optimizer/rmsprop/rms/dense/kernel"));
  EXPECT_THAT(
      slots_of(std::make_shared<RmsProp>(constant_rate(.1), rules::RmsProp{.momentum = .9})),
      ElementsAre("optimizer/rmsprop/rms/dense/kernel", "optimizer/rmsprop/momentum/dense/kernel"));
}

TEST(OptimizersTest, AllOfThemLearn) {
  const std::vector<std::shared_ptr<const Optimizer>> all = {
      std::make_shared<Sgd>(constant_rate(0.5)),
      std::make_shared<Sgd>(constant_rate(0.1), rules::Sgd{.momentum = .9, .nesterov = true}),
      std::make_shared<RmsProp>(constant_rate(0.02)),
      std::make_shared<RmsProp>(constant_rate(0.005), rules::RmsProp{.momentum = .9}),
      std::make_shared<Adagrad>(constant_rate(0.2)),
      std::make_shared<Adam>(constant_rate(0.02)),
      std::make_shared<Amsgrad>(constant_rate(0.02)),
      std::make_shared<AdamW>(constant_rate(0.02)),
      std::make_shared<Adamax>(constant_rate(0.02)),
      std::make_shared<Nadam>(constant_rate(0.02)),
      std::make_shared<Adadelta>(constant_rate(20)),
      std::make_shared<Ftrl>(constant_rate(0.5)),
      std::make_shared<Lion>(constant_rate(0.01)),
      std::make_shared<Lamb>(constant_rate(0.05)),
      std::make_shared<Lars>(constant_rate(10)),
      std::make_shared<Adafactor>(constant_rate(0.1)),
      std::make_shared<Muon>(constant_rate(0.1))};
  for (const auto& optimizer : all) {
    Model model;
    model.add<Dense>({.units = 8, .activation = Activation::kTanh}).add<Dense>({.units = 3});
    model.compile(classifier(optimizer));
    const History history = model.fit(clusters(300).shuffle(3).batch(32), quiet(6));
    EXPECT_GT(history.last("accuracy"), 0.95) << optimizer->name();
  }
}

// The first step of Adam moves every weight by the learning rate: it knows that it is step 1.
TEST(OptimizersTest, AdamCorrectsItsBiasFromStepOne) {
  Model model;
  model.add<Dense>({.units = 1, .use_bias = false, .kernel_initializer = zeros()});
  model.compile(
      {.optimizer = std::make_shared<Adam>(constant_rate(0.125)), .loss = mean_squared_error()});
  const Tensor one = Tensor::from<float>({1, 1}, {1});
  model.fit(data::from_tensors({one, one}, {"x", "y"}).batch(1), quiet(1));
  EXPECT_NEAR(model.weights().at("dense/kernel").item<float>(), 0.125, 1e-6);
}

TEST(OptimizersTest, OptionsAreChecked) {
  EXPECT_THAT(error_of([] { Sgd(constant_rate(.1), {.momentum = 1}); }),
              testing::HasSubstr("sgd: momentum: expected at least 0 and below 1, found 1"));
  EXPECT_THAT(error_of([] { Sgd(constant_rate(.1), {.nesterov = true}); }),
              testing::HasSubstr("nesterov"));
  EXPECT_THAT(error_of([] { constant_rate(-1); }), testing::HasSubstr("learning rate"));
}

// The catalog's entries have the rules' defaults, and an option that is 0 is 0.
TEST(OptimizersTest, TheCatalogHasAllRules) {
  Catalog<Optimizer> catalog;
  register_core_optimizers(catalog);
  EXPECT_THAT(catalog.names(), ElementsAre("sgd", "rmsprop", "adagrad", "adam", "adamw", "amsgrad",
                                           "adamax", "nadam", "adadelta", "ftrl", "lion", "lamb",
                                           "lars", "adafactor", "muon"));
  EXPECT_EQ(catalog.make("sgd")->learning_rate(0), 0.01);
  EXPECT_EQ(catalog.make("adam")->learning_rate(0), 0.001);
  EXPECT_EQ(catalog.make("adam")->update_op().name, "ApplyAdam");
  EXPECT_EQ(catalog.make("adam")->update_op().attributes.get<double>("beta1"), 0.9);
  EXPECT_EQ(Adam(nullptr, {.beta1 = 0}).update_op().attributes.get<double>("beta1"), 0);
  EXPECT_THAT(slots_of(catalog.make("adagrad")),
              ElementsAre("optimizer/adagrad/accumulator/dense/kernel"));
}

TEST(SchedulesTest, StepRateChangesAtItsBoundaries) {
  const Schedule rate = step_rate({10, 20}, {1, .5, .25});
  EXPECT_EQ(rate(0), 1);
  EXPECT_EQ(rate(9), 1);
  EXPECT_EQ(rate(10), .5);
  EXPECT_EQ(rate(20), .25);
  EXPECT_NE(error_of([] { step_rate({10}, {1}); }), "");
  EXPECT_NE(error_of([] { step_rate({10, 10}, {1, 2, 3}); }), "");
}

TEST(SchedulesTest, CosineWarmsUpAndFalls) {
  const Schedule rate = cosine_rate(1, 110, 10, 0.1);
  EXPECT_DOUBLE_EQ(rate(0), 0.1);
  EXPECT_DOUBLE_EQ(rate(9), 1);
  EXPECT_DOUBLE_EQ(rate(10), 1);
  EXPECT_NEAR(rate(60), 0.55, 1e-12);
  EXPECT_NEAR(rate(110), 0.1, 1e-12);
  EXPECT_NEAR(rate(1000), 0.1, 1e-12);
}

TEST(SchedulesTest, ExponentialFallsByItsFactor) {
  EXPECT_DOUBLE_EQ(exponential_rate(2, 10, 0.5)(20), 0.5);
  EXPECT_DOUBLE_EQ(exponential_rate(2, 10, 0.5, true)(19), 1);
}

}  // namespace
}  // namespace trireme::nn
