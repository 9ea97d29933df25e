// A model whose last layer is no source of logits is told so, with the remedy.
#include "core/nn/output_range.h"

#include "core/nn/click_layers.h"
#include "core/nn/residual_layers.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

data::Dataset examples() {
  return data::from_tensors(
      {Tensor::zeros(DType::kFloat32, {4, 2}), Tensor::from<int64_t>({4}, {0, 1, 1, 0})},
      {"x", "y"});
}

template <typename... Layers>
LayerList list(Layers... options) {
  LayerList layers;
  (layers.push_back(std::make_unique<Dense>(std::move(options))), ...);
  return layers;
}

std::vector<std::string> warnings(Loss loss, LayerList layers,
                                  Precision precision = Precision::kFloat32) {
  Model model({.precision = precision});
  for (auto& layer : layers) model.add(std::move(layer));
  model.compile({.optimizer = std::make_shared<Sgd>(), .loss = std::move(loss)});
  model.build_training(batch_types(examples().batch(4)));
  const std::vector<std::string> found = model.take_warnings();
  EXPECT_TRUE(model.take_warnings().empty()) << "once";
  return found;
}

// What predictions are made of: a softmax of probabilities would be wrong without a word.
TEST(OutputRangeTest, KnowsWhetherOutputsAreProbabilities) {
  const auto gives = [](const Loss& loss, Activation activation,
                        Precision precision = Precision::kFloat32) {
    Model model({.precision = precision});
    model.add<Dense>({.units = 2, .activation = activation});
    model.build(TensorType{DType::kFloat32, {-1, 2}});
    return gives_probabilities(loss, model.inference().predictions);
  };
  EXPECT_FALSE(gives(sparse_categorical_cross_entropy(), Activation::kNone));
  EXPECT_TRUE(gives(sparse_categorical_cross_entropy(), Activation::kSoftmax));
  EXPECT_TRUE(gives(categorical_cross_entropy(), Activation::kSoftmax));
  EXPECT_FALSE(gives(sparse_categorical_cross_entropy(), Activation::kSigmoid));
  EXPECT_TRUE(gives(sparse_categorical_cross_entropy(false), Activation::kNone));
  EXPECT_TRUE(gives(binary_cross_entropy(), Activation::kSigmoid));
  EXPECT_TRUE(gives(binary_cross_entropy(), Activation::kSigmoid, Precision::kMixedBFloat16));
  EXPECT_FALSE(gives(binary_cross_entropy(), Activation::kSoftmax));
  EXPECT_FALSE(gives(mean_squared_error(), Activation::kSigmoid));
}

TEST(OutputRangeTest, AnActivationBeforeALossOfLogitsIsWarnedOf) {
  for (const auto& [activation, range] : {std::pair{Activation::kSigmoid, "numbers from 0 to 1"},
                                          {Activation::kTanh, "numbers from -1 to 1"},
                                          {Activation::kRelu, "no number below 0"}}) {
    EXPECT_THAT(
        warnings(binary_cross_entropy(), list(DenseOptions{.units = 1, .activation = activation})),
        testing::ElementsAre(testing::AllOf(
            testing::HasSubstr(std::string("layer 1 (dense \"dense\") gives ") + range),
            testing::HasSubstr("remove the activation"))));
  }
  EXPECT_THAT(warnings(sparse_categorical_cross_entropy(),
                       list(DenseOptions{.units = 2, .activation = Activation::kSoftmax})),
              testing::ElementsAre(testing::HasSubstr("by softmax")));
  // In half of the bits there is a cast behind it.
  EXPECT_EQ(warnings(binary_cross_entropy(),
                     list(DenseOptions{.units = 1, .activation = Activation::kSigmoid}),
                     Precision::kMixedBFloat16)
                .size(),
            1u);
}

// As a layer of its own, behind layers that only move numbers, and within a residual layer.
TEST(OutputRangeTest, WhereverTheActivationStands) {
  LayerList alone = list(DenseOptions{.units = 1});
  alone.push_back(
      std::make_unique<ActivationLayer>(ActivationOptions{.activation = Activation::kSigmoid}));
  alone.push_back(std::make_unique<Dropout>(DropoutOptions{.rate = 0.5}));
  alone.push_back(std::make_unique<Flatten>());
  EXPECT_EQ(warnings(binary_cross_entropy(), std::move(alone)).size(), 1u);

  LayerList residual;
  residual.push_back(std::make_unique<Residual>(ResidualOptions{
      .layers = list(DenseOptions{.units = 2}), .activation = Activation::kSoftmax}));
  EXPECT_EQ(warnings(sparse_categorical_cross_entropy(), std::move(residual)).size(), 1u);

  LayerList inside;
  inside.push_back(std::make_unique<Residual>(ResidualOptions{
      .layers = list(DenseOptions{.units = 2, .activation = Activation::kSigmoid}),
      .shortcut = list(DenseOptions{.units = 2, .activation = Activation::kSigmoid})}));
  EXPECT_THAT(warnings(sparse_categorical_cross_entropy(), std::move(inside)),
              testing::ElementsAre(testing::HasSubstr("numbers from 0 to 2")));
}

TEST(OutputRangeTest, LogitsAndProbabilitiesWhereTheyBelongAreNot) {
  EXPECT_TRUE(warnings(binary_cross_entropy(), list(DenseOptions{.units = 1})).empty());
  EXPECT_TRUE(warnings(binary_cross_entropy(),
                       list(DenseOptions{.units = 8, .activation = Activation::kRelu},
                            DenseOptions{.units = 1}))
                  .empty());
  EXPECT_TRUE(warnings(binary_cross_entropy(false),
                       list(DenseOptions{.units = 1, .activation = Activation::kSigmoid}))
                  .empty());
  EXPECT_TRUE(warnings(mean_squared_error(),
                       list(DenseOptions{.units = 1, .activation = Activation::kSigmoid}))
                  .empty());
  LayerList residual;
  residual.push_back(std::make_unique<Residual>(ResidualOptions{
      .layers = list(DenseOptions{.units = 2, .activation = Activation::kSigmoid})}));
  EXPECT_TRUE(warnings(sparse_categorical_cross_entropy(), std::move(residual)).empty());
}

// One unit has no second class, whose probability could be less than 1.
TEST(OutputRangeTest, UnitsMustFitTheLabels) {
  EXPECT_THAT(error_of([] {
                warnings(sparse_categorical_cross_entropy(), list(DenseOptions{.units = 1}));
              }),
              testing::HasSubstr("two or more classes"));
  EXPECT_THAT(
      error_of([] { warnings(binary_cross_entropy(), list(DenseOptions{.units = 2})); }),
      testing::HasSubstr("end the model with as many units as an example has labels, which is "
                         "1"));
}

}  // namespace
}  // namespace trireme::nn
