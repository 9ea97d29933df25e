#include "core/nn/layers.h"

#include <ctime>

#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

// Names, summaries, gradients, passes and the plan: four times the layers take four times as long,
// not sixteen times.
TEST(ManyLayersTest, TakeTimeInProportion) {
  const auto seconds = [](int64_t layers) {
    const std::clock_t begin = std::clock();
    Model model;
    for (int64_t i = 0; i < layers; ++i) model.add<Dense>({.units = 2});
    model.compile({.optimizer = std::make_shared<Sgd>(), .loss = mean_squared_error()});
    const Tensor x = Tensor::zeros(DType::kFloat32, {4, 2});
    model.fit(data::from_tensors({x, x}, {"x", "y"}).batch(4), quiet(1));
    EXPECT_FALSE(model.summary().empty());
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  seconds(100);  // what is loaded and allocated once
  const double few = std::min(seconds(1000), seconds(1000)), many = seconds(4000);
  EXPECT_LT(many, 8 * few) << few << " s and " << many << " s";
}

using testing::HasSubstr;

const TensorType kImages{DType::kFloat32, {-1, 28, 28, 1}};

void add_lenet(Model& model) {
  model.add<ZeroPad2D>({.top = 2, .bottom = 2, .left = 2, .right = 2});
  model.add<Conv2D>({.filters = 6, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
  model.add<MaxPool2D>();
  model.add<Conv2D>({.filters = 16, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
  model.add<MaxPool2D>({.name = "s4"});
}

TEST(LayersTest, NamesVariablesAsKerasDoes) {
  Model model;
  add_lenet(model);
  model.add<BatchNorm>().add<Flatten>().add<Dense>({.units = 3}).add<Dense>({.units = 2});
  model.build(kImages);
  std::vector<std::string> names;
  for (const VariableSpec& spec : model.variables().all()) {
    names.push_back(spec.name);
    EXPECT_EQ(spec.value.node->name(), spec.name);
  }
  EXPECT_THAT(names,
              testing::ElementsAre("conv2d/kernel", "conv2d/bias", "conv2d_1/kernel",
                                   "conv2d_1/bias", "batch_norm/gamma", "batch_norm/beta",
                                   "batch_norm/moving_mean", "batch_norm/moving_variance",
                                   "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"));
}

TEST(LayersTest, SummaryIsTheTableOfKeras) {
  Model model({.name = "lenet"});
  add_lenet(model);
  model.add<BatchNorm>().add<Flatten>().add<Dense>({.units = 10, .name = "logits"});
  model.build(kImages);
  EXPECT_EQ(model.summary(),
            R"(Model: "lenet"
_________________________________________________________________
Layer (type)                Output Shape            Param #
=================================================================
zero_pad2d (zero_pad2d)     [?, 32, 32, 1]          0
conv2d (conv2d)             [?, 28, 28, 6]          156
max_pool2d (max_pool2d)     [?, 14, 14, 6]          0
conv2d_1 (conv2d)           [?, 10, 10, 16]         2,416
s4 (max_pool2d)             [?, 5, 5, 16]           0
batch_norm (batch_norm)     [?, 5, 5, 16]           64
flatten (flatten)           [?, 400]                0
logits (dense)              [?, 10]                 4,010
=================================================================
Total params: 6,646
Trainable params: 6,614
Non-trainable params: 32
_________________________________________________________________
)");
}

TEST(LayersTest, ADenseLayerOnImagesSaysWhatToDo) {
  Model model;
  add_lenet(model);
  model.add<Dense>({.units = 10, .name = "logits"});
  EXPECT_EQ(error_of([&] { model.build(kImages); }),
            "layer 6 (dense \"logits\"): expected a flat input [batch, features], found [?, 5, 5, "
            "16] from "
            "layer 5 (max_pool2d \"s4\"); add a flatten layer before it");
}

TEST(LayersTest, ErrorsCarryTheNumberOfTheLayer) {
  Model model;
  add_lenet(model);
  model.add<Dense>({.units = 10});
  try {
    model.build(kImages);
    FAIL() << "built";
  } catch (const LayerError& error) {
    EXPECT_EQ(error.number(), 6);
  }
}

TEST(LayersTest, TheFirstLayerBlamesTheInput) {
  Model model;
  model.add<Conv2D>({.filters = 2});
  EXPECT_EQ(
      error_of([&] {
        model.build({DType::kFloat32, {-1, 28, 28}});
      }),
      "layer 1 (conv2d \"conv2d\"): expected images [batch, height, width, channels], found "
      "[?, 28, 28] from the model's input; add a reshape layer that gives them a channel axis");
}

TEST(LayersTest, IntegersAreNoInputOfADenseLayer) {
  Model model;
  model.add<Flatten>().add<Dense>({.units = 2});
  EXPECT_THAT(
      error_of([&] {
        model.build({DType::kUInt8, {-1, 4}});
      }),
      HasSubstr("layer 2 (dense \"dense\"): expected floating-point numbers, found u8[?, 4]"));
}

// An op's own complaint gets the layer's name.
TEST(LayersTest, AWindowLargerThanTheImageNamesTheLayer) {
  Model model;
  model.add<Conv2D>({.filters = 2, .kernel_h = 9, .kernel_w = 9, .name = "wide"});
  EXPECT_THAT(error_of([&] {
                model.build({DType::kFloat32, {-1, 5, 5, 1}});
              }),
              HasSubstr("layer 1 (conv2d \"wide\"): "));
}

TEST(LayersTest, OptionsAreChecked) {
  Model model;
  EXPECT_EQ(error_of([&] { model.add<Dropout>({.rate = 1}); }),
            "dropout: rate: expected at least 0 and below 1, found 1");
  EXPECT_EQ(error_of([&] { model.add<Dropout>(); }),
            "dropout: rate: expected at least 0 and below 1, found none");
  EXPECT_EQ(error_of([&] { model.add<Dense>(); }), "dense: units: expected at least 1, found 0");
  EXPECT_EQ(error_of([&] { model.add<Conv2D>({.filters = 3, .kernel_w = 0}); }),
            "conv2d: kernel_width: expected at least 1, found 0");
  EXPECT_THAT(error_of([&] { model.add<Conv2D>({.filters = 3, .groups = 2}); }),
              HasSubstr("groups"));
  model.add<Dense>({.units = 1, .name = "a"});
  EXPECT_THAT(error_of([&] { model.add<Dense>({.units = 1, .name = "a"}); }),
              HasSubstr("is taken"));
}

// A model that failed to build can be built with other data.
TEST(LayersTest, BuildsAgainAfterAnError) {
  Model model;
  model.add<Dense>({.units = 2});
  EXPECT_NE(error_of([&] { model.build({DType::kFloat32, {-1, 3, 3, 3}}); }), "");
  model.build({DType::kFloat32, {-1, 3}});
  EXPECT_EQ(model.predict(Tensor::zeros(DType::kFloat32, {5, 3})).shape(), (Shape{5, 2}));
  EXPECT_THAT(error_of([&] {
                model.predict(Tensor::zeros(DType::kFloat32, {5, 4}));
              }),
              HasSubstr("built for features f32[?, 3]"));
}

TEST(LayersTest, BatchNormTrainsOnTheBatchAndPredictsFromMovingAverages) {
  Model model;
  model.add<BatchNorm>({.momentum = 0.5}).add<Dense>({.units = 1});
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(0)), .loss = mean_squared_error()});
  const auto data = data::from_tensors({Tensor::from<float>({4, 1}, {1, 3, 5, 7}),
                                        Tensor::zeros(DType::kFloat32, {4, 1})},
                                       {"x", "y"})
                        .batch(4);
  model.fit(data, quiet(1));
  const StateMap weights = model.weights();
  EXPECT_FLOAT_EQ(weights.at("batch_norm/moving_mean").item<float>(), 2);      // (0 + 4) / 2
  EXPECT_FLOAT_EQ(weights.at("batch_norm/moving_variance").item<float>(), 3);  // (1 + 5) / 2
  const float kernel = weights.at("dense/kernel").item<float>();
  const Tensor y = model.predict(Tensor::from<float>({1, 1}, {5}));
  EXPECT_NEAR(y.item<float>(), kernel * 3 / std::sqrt(3 + 1e-3), 1e-5);
}

TEST(LayersTest, LayerNormNormalisesEachExampleByItself) {
  Model model;
  model.add<LayerNorm>({.epsilon = 1e-9});
  const Tensor y = model.predict(Tensor::from<float>({2, 4}, {1, 3, 5, 7, -20, -20, 40, 40}));
  const float root = std::sqrt(5.0f);
  const std::vector<float> right = {-3 / root, -1 / root, 1 / root, 3 / root, -1, -1, 1, 1};
  for (size_t i = 0; i < right.size(); ++i) EXPECT_NEAR(y.flat<float>()[i], right[i], 1e-5) << i;
}

TEST(LayersTest, LayerNormIsTrained) {
  Model model;
  model.add<LayerNorm>().add<Dense>({.units = 2});
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.05))));
  // Which of two numbers is larger: what is left of a pair that is normalised.
  std::vector<float> pairs;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 200; ++i) {
    const float a = static_cast<float>(i * 37 % 101), b = static_cast<float>(i * 53 % 103);
    pairs.insert(pairs.end(), {a, b});
    labels.push_back(a > b);
  }
  const auto data = data::from_tensors(
      {Tensor::from<float>({200, 2}, pairs), Tensor::from<int64_t>({200}, labels)}, {"x", "label"});
  const History history = model.fit(data.shuffle(1).batch(20), quiet(10));
  EXPECT_GT(history.last("accuracy"), 0.95);
  EXPECT_NE(model.weights().at("layer_norm/gamma").flat<float>()[0], 1);
}

TEST(LayersTest, DropoutIsForTrainingOnly) {
  Model model;
  model.add<Dropout>({.rate = 0.5}).add<Reshape>({.shape = {2, 2}}).add<Flatten>();
  const Tensor x = Tensor::from<float>({1, 4}, {1, 2, 3, 4});
  EXPECT_EQ(model.predict(x).to_string(), x.to_string());
}

TEST(LayersTest, AnEmbeddingIsLearnedThroughSparseUpdates) {
  Model model;
  model.add<Embedding>({.rows = 10, .dimension = 4}).add<Flatten>().add<Dense>({.units = 2});
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.05))));
  std::vector<int64_t> words, labels;
  for (int64_t i = 0; i < 200; ++i) {
    words.insert(words.end(), {i % 9, (i * 7) % 9});
    labels.push_back(i % 9 < 4);
  }
  const auto data = data::from_tensors(
      {Tensor::from<int64_t>({200, 2}, words), Tensor::from<int64_t>({200}, labels)},
      {"words", "label"});
  const auto unused = [&] {
    auto row = model.weights().at("embedding/embeddings").rows(9, 10);
    return std::vector<float>(row.flat<float>().begin(), row.flat<float>().end());
  };
  model.build_training({{{DType::kInt64, {-1, 2}}}, {{DType::kInt64, {-1}}}});
  EXPECT_TRUE(model.train_graph().updates[0].gradient.is_sparse());
  const auto before = unused();
  const History history = model.fit(data.shuffle(1).batch(20), quiet(15));
  EXPECT_GT(history.last("accuracy"), 0.95);
  EXPECT_EQ(unused(), before);  // no word 9: its row never changes
}

}  // namespace
}  // namespace trireme::nn
