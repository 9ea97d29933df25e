// Losses and metrics of each element of a sequence, and which elements count.
#include "core/autodiff/gradients.h"
#include "core/nn/class_losses.h"
#include "core/nn/metrics.h"
#include "core/nn/regression_losses.h"
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

// A model that gives its features.
class Same : public Layer {
 public:
  struct Options {};
  explicit Same(Options) {}
  std::string type() const override { return "same"; }
  Value call(BuildContext&, Value x) override { return x; }
};

const Tensor kLogits = Tensor::from<float>({2, 3, 2}, {1, 2, 3, 0, -1, 1, 0, 0, 5, -2, 1, 1});
const Tensor kClasses = Tensor::from<int64_t>({2, 3}, {0, 1, 1, 0, 0, 1});

Tensor run(const std::function<Value(Value, Value)>& function, const Tensor& predictions,
           const Tensor& labels) {
  Graph graph(core_op_table());
  Session session(graph);
  return session.run(
      {}, {function(ops::constant(graph, predictions), ops::constant(graph, labels))})[0];
}

double cross_entropy(float right, float other) { return std::log1p(std::exp(other - right)); }

std::map<std::string, double> evaluate(const Loss& loss, std::vector<Metric> metrics,
                                       const Tensor& predictions, const Tensor& labels,
                                       int64_t batch = 2) {
  Model model;
  model.add<Same>();
  model.compile(
      {.optimizer = std::make_shared<Sgd>(), .loss = loss, .metrics = std::move(metrics)});
  return model.evaluate(data::from_tensors({predictions, labels}, {"x", "y"}).batch(batch));
}

// The kernel takes rows; an element of a sequence is one, to the last bit.
TEST(SequenceLossesTest, AnElementIsARowOfTheKernel) {
  const Tensor flat_logits = Tensor::from<float>({6, 2}, kLogits.flat<float>());
  const Tensor flat_classes = Tensor::from<int64_t>({6}, kClasses.flat<int64_t>());
  const Loss loss = sparse_categorical_cross_entropy();
  const Tensor found = run(loss.function, kLogits, kClasses);
  const Tensor rows = run(loss.function, flat_logits, flat_classes);
  EXPECT_EQ(found.shape(), (Shape{2, 3}));
  EXPECT_TRUE(std::ranges::equal(found.flat<float>(), rows.flat<float>()));
  EXPECT_NEAR(found.flat<float>()[0], cross_entropy(1, 2), 1e-6);
  // Labels may have a last axis of 1, and bytes are numbers too.
  const Tensor column = Tensor::from<uint8_t>({2, 3, 1}, {0, 1, 1, 0, 0, 1});
  EXPECT_TRUE(
      std::ranges::equal(run(loss.function, kLogits, column).flat<float>(), rows.flat<float>()));
  const Metric hits = sparse_categorical_accuracy();
  EXPECT_THAT(run(hits.function, kLogits, kClasses).flat<float>(),
              testing::ElementsAre(0, 0, 1, 1, 1, 0));
}

TEST(SequenceLossesTest, TheMeanIsOverAllElements) {
  const auto found = evaluate(sparse_categorical_cross_entropy(), {sparse_categorical_accuracy()},
                              kLogits, kClasses);
  const double expected = (cross_entropy(1, 2) + cross_entropy(0, 3) + cross_entropy(1, -1) +
                           cross_entropy(0, 0) + cross_entropy(5, -2) + cross_entropy(1, 1)) /
                          6;
  EXPECT_NEAR(found.at("loss"), expected, 1e-6);
  EXPECT_NEAR(found.at("accuracy"), 0.5, 1e-6);
}

// One label that is no class stands for padding: it counts neither in the loss, nor in the
// accuracy, nor in the perplexity, and batches count by what they have.
TEST(SequenceLossesTest, IgnoredElementsCountNowhere) {
  Tensor labels = kClasses.clone();
  labels.flat<int64_t>()[1] = -1;
  labels.flat<int64_t>()[5] = -1;
  const Loss loss = sparse_categorical_cross_entropy({.ignore_class = -1});
  const double first = (cross_entropy(1, 2) + cross_entropy(1, -1)) / 2;
  const double second = (cross_entropy(0, 0) + cross_entropy(5, -2)) / 2;
  auto found = evaluate(loss, {accuracy(loss), perplexity(loss)}, kLogits, labels);
  EXPECT_NEAR(found.at("loss"), (first + second) / 2, 1e-6);
  EXPECT_NEAR(found.at("accuracy"), 3 / 4., 1e-6);
  EXPECT_NEAR(found.at("perplexity"), std::exp((first + second) / 2), 1e-5);
  labels.flat<int64_t>()[3] = -1;
  found = evaluate(loss, {accuracy(loss), perplexity(loss)}, kLogits, labels, 1);
  EXPECT_NEAR(found.at("accuracy"), 2 / 3., 1e-6);
  EXPECT_NEAR(found.at("perplexity"), std::exp((2 * first + cross_entropy(5, -2)) / 3), 1e-5);
  // Another label that is no class is still one too many.
  labels.flat<int64_t>()[0] = -2;
  EXPECT_THAT(error_of([&] { evaluate(loss, {}, kLogits, labels); }),
              testing::HasSubstr("the label -2"));
}

TEST(SequenceLossesTest, IgnoredElementsHaveNoGradient) {
  Graph graph(core_op_table());
  Session session(graph);
  const Value logits = ops::constant(graph, kLogits);
  const Value labels = ops::constant(graph, Tensor::from<int64_t>({2, 3}, {0, -1, 1, 0, 0, -1}));
  const Loss loss = sparse_categorical_cross_entropy({.label_smoothing = 0.1, .ignore_class = -1});
  const Value wrt[] = {logits};
  const auto found = gradients(ops::sum(loss.function(logits, labels)), wrt);
  const Tensor gradient = session.run({}, {found[0].values})[0];
  for (const size_t i : {2, 3, 10, 11}) EXPECT_EQ(gradient.flat<float>()[i], 0) << i;
  for (const size_t i : {0, 1, 4, 8}) EXPECT_NE(gradient.flat<float>()[i], 0) << i;
}

TEST(SequenceLossesTest, LabelsThatDoNotFitAreNamed) {
  const Loss loss = sparse_categorical_cross_entropy();
  EXPECT_THAT(
      error_of([&] { run(loss.function, kLogits, Tensor::zeros(DType::kInt64, {2})); }),
      testing::HasSubstr("expected a class number for each element, i64[2, 3], found i64[2]"));
}

// Label smoothing of class numbers is that of their one-hot labels.
TEST(SequenceLossesTest, SmoothingIsThatOfOneHotLabels) {
  const Tensor one_hot = run([](Value, Value y) { return ops::one_hot(y, 2); }, kLogits, kClasses);
  const Tensor sparse =
      run(sparse_categorical_cross_entropy({.label_smoothing = 0.2}).function, kLogits, kClasses);
  const Tensor dense = run(categorical_cross_entropy(true, 0.2).function, kLogits, one_hot);
  EXPECT_THAT(sparse.flat<float>(),
              testing::Pointwise(testing::FloatNear(1e-6F), dense.flat<float>()));
}

// The loss of two-tower retrieval from its definition; candidates of one number are no negatives.
TEST(InBatchSoftmaxTest, IsTheCrossEntropyOfTheRightCandidate) {
  const int64_t batch = 4, width = 3;
  PhiloxGenerator random(3);
  std::vector<float> numbers;
  for (int64_t i = 0; i < batch * 2 * width; ++i) numbers.push_back(random.normal());
  const Tensor both = Tensor::from<float>({batch, 2 * width}, numbers);
  const Tensor items = Tensor::from<int64_t>({batch}, {7, 9, 7, 2});
  const auto score = [&](int64_t query, int64_t candidate) {
    double sum = 0;
    for (int64_t k = 0; k < width; ++k) {
      sum += double{numbers[static_cast<size_t>(query * 2 * width + k)]} *
             numbers[static_cast<size_t>(candidate * 2 * width + width + k)];
    }
    return sum / 0.5;
  };
  for (const int64_t group : {0, 2}) {
    const Tensor found =
        run(in_batch_softmax({.temperature = 0.5, .group = group}).function, both, items);
    for (int64_t i = 0; i < batch; ++i) {
      double all = std::exp(score(i, i));
      for (int64_t j = 0; j < batch; ++j) {
        const bool near = group == 0 || i / group == j / group;
        const auto number = [&](int64_t k) {
          return items.flat<int64_t>()[static_cast<size_t>(k)];
        };
        if (near && number(i) != number(j)) all += std::exp(score(i, j));
      }
      EXPECT_NEAR(found.flat<float>()[static_cast<size_t>(i)], std::log(all) - score(i, i), 1e-5)
          << group << " " << i;
    }
  }
}

}  // namespace
}  // namespace trireme::nn
