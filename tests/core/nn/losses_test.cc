#include "core/nn/losses.h"

#include <cmath>

#include "core/nn/metrics.h"
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using Pair = std::function<Value(Value, Value)>;

std::vector<float> evaluate(const Pair& function, const Tensor& predictions, const Tensor& labels) {
  Graph graph(core_op_table());
  Session session(graph);
  const Value p = ops::constant(graph, predictions), l = ops::constant(graph, labels);
  const Tensor y = session.run({}, {function(p, l)})[0];
  EXPECT_EQ(y.shape(), Shape{predictions.shape()[0]}) << "one number an example";
  return {y.flat<float>().begin(), y.flat<float>().end()};
}

const Tensor kLogits = Tensor::from<float>({2, 3}, {1, 2, 3, 0, 0, 5});
const Tensor kClasses = Tensor::from<int64_t>({2}, {0, 2});

Tensor softmax_of(const Tensor& x) {
  Tensor y = x.clone();
  auto values = y.flat<float>();
  for (size_t r = 0; r < values.size(); r += 3) {
    float sum = 0;
    for (size_t i = r; i < r + 3; ++i) sum += values[i] = std::exp(values[i]);
    for (size_t i = r; i < r + 3; ++i) values[i] /= sum;
  }
  return y;
}

TEST(LossesTest, SparseCategoricalIsTheLogarithmOfTheSoftmax) {
  const Tensor p = softmax_of(kLogits);
  const auto expected = testing::Pointwise(
      testing::FloatNear(1e-5f),
      std::vector<float>{-std::log(p.flat<float>()[0]), -std::log(p.flat<float>()[5])});
  EXPECT_THAT(evaluate(sparse_categorical_cross_entropy().function, kLogits, kClasses), expected);
  EXPECT_THAT(evaluate(sparse_categorical_cross_entropy(false).function, p, kClasses), expected);
  const Tensor bytes = Tensor::from<uint8_t>({2, 1}, {0, 2});
  EXPECT_THAT(evaluate(sparse_categorical_cross_entropy().function, kLogits, bytes), expected);
  const Tensor one_hot = Tensor::from<float>({2, 3}, {1, 0, 0, 0, 0, 1});
  EXPECT_THAT(evaluate(categorical_cross_entropy().function, kLogits, one_hot), expected);
  EXPECT_THAT(evaluate(categorical_cross_entropy(false).function, p, one_hot), expected);
}

TEST(LossesTest, BinaryTakesLabelsOfAnyTypeAndShape) {
  const Tensor logits = Tensor::from<float>({2, 1}, {2, -3});
  const Tensor labels = Tensor::from<int64_t>({2}, {1, 1});
  const auto expected =
      testing::Pointwise(testing::FloatNear(1e-5f),
                         std::vector<float>{std::log1p(std::exp(-2.f)), std::log1p(std::exp(3.f))});
  EXPECT_THAT(evaluate(binary_cross_entropy().function, logits, labels), expected);
  const Tensor p = Tensor::from<float>({2, 1}, {1 / (1 + std::exp(-2.f)), 1 / (1 + std::exp(3.f))});
  EXPECT_THAT(evaluate(binary_cross_entropy(false).function, p, labels), expected);
}

TEST(LossesTest, MeanSquaredErrorIsAMeanPerExample) {
  const Tensor p = Tensor::from<float>({2, 2}, {1, 2, 3, 4});
  const Tensor y = Tensor::from<float>({2, 2}, {1, 0, 0, 0});
  EXPECT_THAT(evaluate(mean_squared_error().function, p, y), testing::ElementsAre(2, 12.5f));
  EXPECT_THAT(evaluate(mean_absolute_error().function, p, y), testing::ElementsAre(1, 3.5f));
}

TEST(LossesTest, AccuracyFollowsTheLoss) {
  EXPECT_THAT(evaluate(metric_from_name("accuracy", sparse_categorical_cross_entropy()).function,
                       kLogits, kClasses),
              testing::ElementsAre(0, 1));
  EXPECT_THAT(evaluate(metric_from_name("accuracy", categorical_cross_entropy()).function, kLogits,
                       Tensor::from<float>({2, 3}, {0, 0, 1, 1, 0, 0})),
              testing::ElementsAre(1, 0));
  EXPECT_THAT(
      evaluate(metric_from_name("accuracy", binary_cross_entropy()).function,
               Tensor::from<float>({3, 1}, {2, -1, 0.1f}), Tensor::from<uint8_t>({3}, {1, 1, 0})),
      testing::ElementsAre(1, 0, 0));
  EXPECT_THAT(error_of([] { metric_from_name("accuracy", mean_squared_error()); }),
              testing::HasSubstr("no meaning"));
}

TEST(LossesTest, ShapesThatDoNotFitAreNamed) {
  EXPECT_THAT(error_of([] {
                evaluate(mean_squared_error().function, kLogits,
                         Tensor::zeros(DType::kFloat32, {2}));
              }),
              testing::HasSubstr("expected labels like the predictions f32[2, 3], found f32[2]"));
  EXPECT_THAT(error_of([] {
                evaluate(sparse_categorical_cross_entropy().function, kLogits,
                         Tensor::zeros(DType::kFloat32, {2, 3}));
              }),
              testing::HasSubstr("for one-hot labels use categorical_cross_entropy"));
}

// A last, smaller batch may not weigh as much as a full one.
TEST(LossesTest, RunningMeansWeighByExamples) {
  RunningMeans means(1);
  const double a = 1, b = 4;
  means.add({&a, 1}, 30);
  means.add({&b, 1}, 10);
  EXPECT_DOUBLE_EQ(means.value(0).value(), 1.75);
}

}  // namespace
}  // namespace trireme::nn
