// Residual blocks against their formula, and ResNet-50 against its published size.
#include "core/nn/residual_layers.h"

#include "core/data/synthetic.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

Tensor normal_tensor(const Shape& shape, uint64_t seed) {
  PhiloxGenerator random(seed);
  Tensor made(DType::kFloat32, shape);
  for (float& x : made.flat<float>()) x = random.normal();
  return made;
}

LayerList one(std::unique_ptr<Layer> layer) {
  LayerList layers;
  layers.push_back(std::move(layer));
  return layers;
}

std::unique_ptr<Layer> dense(int64_t units) {
  return std::make_unique<Dense>(DenseOptions{.units = units});
}

// y = relu(x · kernel + bias + x · shortcut)
TEST(ResidualTest, AddsTheShortcutToWhatTheLayersMake) {
  Model model;
  model.add<Residual>(ResidualOptions{
      .layers = one(dense(2)),
      .shortcut = one(std::make_unique<Dense>(DenseOptions{.units = 2, .use_bias = false})),
      .activation = Activation::kRelu});
  const Tensor x = normal_tensor({4, 3}, 1);
  model.build(x.type());
  StateMap weights = model.weights();
  ASSERT_EQ(weights.size(), 3u);
  for (auto& [name, value] : weights) value = normal_tensor(value.shape(), hash_name(name));
  model.set_weights(weights);
  const Tensor y = model.predict(x);
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t unit = 0; unit < 2; ++unit) {
      double sum = weights.at("residual/dense/bias").as_double(unit);
      for (int64_t i = 0; i < 3; ++i) {
        sum += x.as_double(row * 3 + i) *
               (weights.at("residual/dense/kernel").as_double(i * 2 + unit) +
                weights.at("residual/shortcut_dense/kernel").as_double(i * 2 + unit));
      }
      EXPECT_NEAR(y.as_double(row * 2 + unit), std::max(sum, 0.), 1e-5);
    }
  }
}

TEST(ResidualTest, WithoutAShortcutTheInputIsAdded) {
  Model model;
  model.add<Residual>({.layers = one(dense(3))});
  const Tensor x = normal_tensor({2, 3}, 1);
  model.build(x.type());
  StateMap weights = model.weights();
  for (auto& [name, value] : weights) value = Tensor::zeros(value.dtype(), value.shape());
  model.set_weights(weights);
  const Tensor y = model.predict(x);
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(y.as_double(i), x.as_double(i));
}

TEST(ResidualTest, ShapesThatCannotBeAddedNameBoth) {
  Model model;
  model.add<Residual>({.layers = one(dense(5))});
  EXPECT_THAT(error_of([&] {
                model.build({DType::kFloat32, {-1, 3}});
              }),
              testing::AllOf(HasSubstr("layer 1 (residual \"residual\")"), HasSubstr("[?, 5]"),
                             HasSubstr("[?, 3]"), HasSubstr("give it a shortcut")));
  EXPECT_THAT(error_of([] { Model().add<Residual>(); }), HasSubstr("at least one layer"));
  EXPECT_THAT(error_of([] { Model().add<Bottleneck>({.filters = 1, .blocks = 0}); }),
              HasSubstr("blocks: expected from 1 to 10000, found 0"));
}

TEST(BottleneckTest, TheFirstBlockHasTheStrideAndAShortcut) {
  Model model;
  model.add<Bottleneck>({.filters = 2, .blocks = 2, .stride = 2});
  model.build({DType::kFloat32, {-1, 8, 8, 4}});
  const StateMap weights = model.weights();
  EXPECT_EQ(weights.at("bottleneck/block_0/conv2d/kernel").shape(), (Shape{1, 1, 4, 2}));
  EXPECT_EQ(weights.at("bottleneck/block_0/conv2d_1/kernel").shape(), (Shape{3, 3, 2, 2}));
  EXPECT_EQ(weights.at("bottleneck/block_0/conv2d_2/kernel").shape(), (Shape{1, 1, 2, 8}));
  EXPECT_EQ(weights.at("bottleneck/block_0/shortcut_conv2d/kernel").shape(), (Shape{1, 1, 4, 8}));
  EXPECT_EQ(weights.at("bottleneck/block_1/conv2d/kernel").shape(), (Shape{1, 1, 8, 2}));
  EXPECT_FALSE(weights.contains("bottleneck/block_1/shortcut_conv2d/kernel"));
  EXPECT_EQ(model.predict(normal_tensor({3, 8, 8, 4}, 1)).shape(), (Shape{3, 4, 4, 8}));
}

TEST(ResNet50Test, HasThePublishedNumberOfParameters) {
  Model model;
  for (auto& layer : resnet50()) model.add(std::move(layer));
  model.build({DType::kFloat32, {-1, 64, 64, 3}});
  int64_t trainable = 0;
  for (const VariableSpec& spec : model.variables().all()) {
    if (spec.role == VariableRole::kTrainable) trainable += spec.value.shape().elements();
  }
  EXPECT_EQ(trainable, 25'557'032);
}

// As many as PyTorch counts for the same network, and an image of 32×32 comes out as 8×8.
TEST(ResNet20Test, HasThePublishedSizes) {
  Model model;
  for (auto& layer : resnet20()) model.add(std::move(layer));
  model.build({DType::kFloat32, {-1, 32, 32, 3}});
  int64_t trainable = 0;
  for (const VariableSpec& spec : model.variables().all()) {
    if (spec.role == VariableRole::kTrainable) trainable += spec.value.shape().elements();
  }
  EXPECT_EQ(trainable, 272'474);
  EXPECT_THAT(model.summary(), HasSubstr("[?, 8, 8, 64]"));
  EXPECT_EQ(model.predict(normal_tensor({2, 32, 32, 3}, 1)).shape(), (Shape{2, 10}));
}

// A network with every kind of layer of ResNet-50 learns some random images by heart.
TEST(ResNet50Test, ASmallOneLearnsItsImages) {
  Model model;
  model.add<Conv2D>({.filters = 8, .padding = ops::Padding::kSame, .use_bias = false});
  model.add<BatchNorm>().add<ActivationLayer>({.activation = Activation::kRelu}).add<ZeroPad2D>();
  model.add<MaxPool2D>({.window_h = 3, .window_w = 3, .stride_h = 2, .stride_w = 2});
  model.add<Bottleneck>({.filters = 4, .blocks = 2});
  model.add<Bottleneck>({.filters = 8, .blocks = 1, .stride = 2});
  model.add<GlobalAvgPool2D>().add<Dense>({.units = 4});
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.02))));
  const data::Dataset images = data::noise({32, 16, 16, 3}, 4, 7).dataset();
  const History history = model.fit(images.batch(32), quiet(60));
  EXPECT_GT(history.values.at("loss").front().value(), 1.0);
  EXPECT_LT(history.last("loss"), 0.2);
}

TEST(NoiseTest, IsAFunctionOfTheSeedAndChecksItsShape) {
  const data::LabeledImages a = data::noise({5, 3, 4, 3}, 300, 1),
                            b = data::noise({5, 3, 4, 3}, 300, 1),
                            c = data::noise({5, 3, 4, 3}, 300, 2);
  EXPECT_TRUE(std::ranges::equal(a.images.flat<uint8_t>(), b.images.flat<uint8_t>()));
  EXPECT_FALSE(std::ranges::equal(a.images.flat<uint8_t>(), c.images.flat<uint8_t>()));
  EXPECT_NE(error_of([] { data::noise({5, 3, 4}, 10, 1); }), "");
  EXPECT_NE(error_of([] { data::noise({5, 1 << 20, 1 << 20, 3}, 10, 1); }), "");
  EXPECT_NE(error_of([] { data::noise({5, 3, 4, 3}, 0, 1); }), "");
}

}  // namespace
}  // namespace trireme::nn
