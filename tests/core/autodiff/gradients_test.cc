#include "core/autodiff/gradients.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/gradient_check.h"

namespace trireme {
namespace {

using testing::check_gradients;
using ::testing::ElementsAre;
using testing::evaluate;
using testing::Feeds;
using ::testing::HasSubstr;

class GradientsTest : public ::testing::Test {
 protected:
  Value input(const std::string& name, const Shape& shape, DType dtype = DType::kFloat64) {
    return ops::placeholder(graph_, name, dtype, shape);
  }
  Gradient gradient(Value loss, Value x) { return gradients(loss, std::vector{x})[0]; }
  std::vector<double> numbers(Value value, const Feeds& feeds) {
    const Tensor tensor = evaluate({value}, feeds)[0];
    const auto flat = tensor.flat<double>();
    return {flat.begin(), flat.end()};
  }
  int count(std::string_view op) const {
    int found = 0;
    for (const auto& node : graph_.nodes()) found += node->op().name == op ? 1 : 0;
    return found;
  }

  Graph graph_{core_op_table()};
};

TEST_F(GradientsTest, AddsWhatArrivesAlongSeveralPaths) {
  const Value x = input("x", {2});
  const Value loss = ops::sum(x * x + x);
  EXPECT_THAT(numbers(gradient(loss, x).values, {{x, Tensor::from<double>({2}, {3, 5})}}),
              ElementsAre(7, 11));
}

TEST_F(GradientsTest, OfAValueByItselfIsOne) {
  const Value x = input("x", {2});
  EXPECT_THAT(numbers(gradient(x, x).values, {{x, Tensor::from<double>({2}, {3, 5})}}),
              ElementsAre(1, 1));
}

TEST_F(GradientsTest, StartsWithTheSeed) {
  const Value x = input("x", {2});
  const Value seed = ops::constant(graph_, Tensor::from<double>({2}, {10, 100}));
  const Value wrt[] = {x}, seeds[] = {seed};
  const Gradient g = gradients(ops::square(x), wrt, seeds)[0];
  EXPECT_THAT(numbers(g.values, {{x, Tensor::from<double>({2}, {3, 5})}}), ElementsAre(60, 1000));
}

TEST_F(GradientsTest, IsUndefinedWhereTheLossDoesNotDependOnIt) {
  const Value x = input("x", {2}), y = input("y", {2});
  EXPECT_FALSE(gradient(ops::sum(x), y).defined());
  EXPECT_FALSE(gradient(ops::sum(ops::stop_gradient(y) + x), y).defined());
  EXPECT_FALSE(gradient(ops::sum(ops::cast(ops::greater(y, x), DType::kFloat64)), y).defined());
}

// Of a value that was made after the loss nothing is known to the sweep.
TEST_F(GradientsTest, IsUndefinedForALaterValue) {
  const Value x = input("x", {2});
  const Value loss = ops::sum(x);
  EXPECT_FALSE(gradient(loss, ops::square(x)).defined());
}

TEST_F(GradientsTest, IntegersGetNone) {
  const Value i = input("i", {2}, DType::kInt64);
  EXPECT_FALSE(gradient(ops::sum(ops::cast(i, DType::kFloat64)), i).defined());
}

// The sweep does not go on behind inputs that nobody asked about. (A rule may still build the
// gradient of such an input itself; as nothing fetches it, it never runs.)
TEST_F(GradientsTest, BuildsNothingForPathsThatLeadNowhere) {
  const Value x = input("x", {2}), images = input("images", {2});
  const Value loss = ops::sum(ops::tanh(images) * x);
  gradient(loss, x);
  EXPECT_EQ(count("Square"), 0) << "tanh' = 1 - tanh² is for images only";
}

TEST_F(GradientsTest, OfAnIntermediateValueStopsThere) {
  const Value x = input("x", {2});
  const Value y = ops::square(x);
  const Value loss = ops::sum(ops::square(y));
  const Feeds feeds = {{x, Tensor::from<double>({2}, {2, 3})}};
  EXPECT_THAT(numbers(gradient(loss, y).values, feeds), ElementsAre(8, 18));
  const auto both = gradients(loss, std::vector{x, y});
  EXPECT_THAT(numbers(both[0].values, feeds), ElementsAre(32, 108));
  EXPECT_THAT(numbers(both[1].values, feeds), ElementsAre(8, 18));
}

TEST_F(GradientsTest, StandUnderTheirScope) {
  const Value x = input("x", {2});
  const Value loss = ops::sum(ops::exp(x));
  const int before = graph_.size();
  gradient(loss, x);
  ASSERT_GT(graph_.size(), before);
  for (int id = before; id < graph_.size(); ++id) {
    EXPECT_THAT(graph_.nodes()[static_cast<size_t>(id)]->name(),
                ::testing::StartsWith("gradients/"));
  }
}

TEST_F(GradientsTest, BroadcastInputsGetTheSumOverTheBatch) {
  const Value x = input("x", {-1, 2}), bias = input("bias", {2});
  const Value g = gradient(ops::sum(ops::square(x + bias)), bias).values;
  EXPECT_EQ(g.shape(), (Shape{2}));
  const Feeds feeds = {{x, Tensor::from<double>({3, 2}, {1, 2, 3, 4, 5, 6})},
                       {bias, Tensor::from<double>({2}, {0, 1})}};
  EXPECT_THAT(numbers(g, feeds), ElementsAre(18, 30));
}

// Tables: what a batch looked up, not the whole table.
TEST_F(GradientsTest, OfATableStaysSparse) {
  const Value table = input("table", {4, 2}), ids = input("ids", {3}, DType::kInt64);
  const Gradient g = gradient(ops::sum(ops::embedding_lookup(table, ids)), table);
  ASSERT_TRUE(g.is_sparse());
  EXPECT_EQ(*g.indices, ids);
  EXPECT_EQ(g.values.shape(), (Shape{3, 2}));
  EXPECT_EQ(g.dense_shape, (Shape{4, 2}));
  EXPECT_EQ(count("ScatterAdd"), 0);
}

TEST_F(GradientsTest, OfATableThatIsLookedUpTwiceIsConcatenated) {
  const Value table = input("table", {4, 2});
  const Value a = input("a", {3}, DType::kInt64), b = input("b", {2, 2}, DType::kInt32);
  const Value loss = ops::sum(ops::embedding_lookup(table, a)) +
                     ops::sum(ops::square(ops::embedding_lookup(table, b)));
  const Gradient g = gradient(loss, table);
  ASSERT_TRUE(g.is_sparse());
  EXPECT_EQ(g.indices->type(), (TensorType{DType::kInt64, {7}}));
  const Feeds feeds = {{table, Tensor::from<double>({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})},
                       {a, Tensor::from<int64_t>({3}, {0, 0, 2})},
                       {b, Tensor::from<int32_t>({2, 2}, {2, 2, 3, 3})}};
  EXPECT_THAT(numbers(densify(g, table), feeds), ElementsAre(2, 2, 0, 0, 1 + 20, 1 + 24, 28, 32));
}

TEST_F(GradientsTest, OfATableThatIsAlsoUsedWholeIsDense) {
  const Value table = input("table", {2, 1}), ids = input("ids", {3}, DType::kInt64);
  const Gradient g =
      gradient(ops::sum(ops::embedding_lookup(table, ids)) + ops::sum(ops::square(table)), table);
  EXPECT_FALSE(g.is_sparse());
  const Feeds feeds = {{table, Tensor::from<double>({2, 1}, {5, 7})},
                       {ids, Tensor::from<int64_t>({3}, {1, 1, 0})}};
  EXPECT_THAT(numbers(g.values, feeds), ElementsAre(11, 16));
}

TEST_F(GradientsTest, SparseOnesBecomeDenseOnTheWayFurtherBack) {
  const Value x = input("x", {2, 1}), ids = input("ids", {3}, DType::kInt64);
  const Gradient g = gradient(ops::sum(ops::embedding_lookup(ops::square(x), ids)), x);
  EXPECT_FALSE(g.is_sparse());
  const Feeds feeds = {{x, Tensor::from<double>({2, 1}, {5, 7})},
                       {ids, Tensor::from<int64_t>({3}, {1, 1, 0})}};
  EXPECT_THAT(numbers(g.values, feeds), ElementsAre(10, 28));
}

TEST_F(GradientsTest, CanBeDifferentiatedAgain) {
  const Value x = input("x", {2, 3}), w = input("w", {3});
  const Value y = ops::tanh(ops::exp(x * w) / (w * w + ops::scalar(graph_, DType::kFloat64, 1)));
  const Feeds feeds = {{x, testing::random_tensor(DType::kFloat64, {2, 3}, -1, 1, 1)},
                       {w, testing::random_tensor(DType::kFloat64, {3}, -1, 1, 2)}};
  EXPECT_EQ(check_gradients({y}, {x, w}, feeds), "");
}

TEST_F(GradientsTest, RefusesWhatItCannotDifferentiate) {
  const Value i = input("i", {2}, DType::kInt64), x = input("x", {2});
  const auto message = [](auto&& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message([&] { gradient(i, x); }), HasSubstr("floating-point loss, found i64[2]"));
  Graph other(core_op_table());
  const Value y = ops::placeholder(other, "y", DType::kFloat64, {2});
  EXPECT_THAT(message([&] { gradient(x, y); }), HasSubstr("not in the graph of loss 'x'"));
  const Value wrt[] = {x}, seeds[] = {i};
  EXPECT_THAT(message([&] { gradients(x, wrt, seeds); }),
              HasSubstr("one seed of f64[2] for loss 'x'"));
}

// The checker itself must be able to fail.
TEST_F(GradientsTest, CheckerFindsAWrongGradient) {
  const Value x = input("x", {2});
  const Value y = ops::square(x) + ops::stop_gradient(ops::exp(x));
  const Feeds feeds = {{x, Tensor::from<double>({2}, {1, 2})}};
  EXPECT_THAT(check_gradients({y}, {x}, feeds),
              HasSubstr("first derivative by element 0 of input 0"));
}

}  // namespace
}  // namespace trireme
