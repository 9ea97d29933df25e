// Functions that move or pick elements and are composed of ops: each is compared with its
// definition, and its gradients with central differences.
#include "core/ops/arrays.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/ops/indexing.h"
#include "core/ops/ops.h"
#include "core/ops/sorting.h"
#include "tests/support/gradient_check.h"

namespace trireme::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

// A graph whose inputs hold 0, 1, 2, … (or what is given), f64; each of them may also be declared
// with an unknown first dimension.
class ArraysTest : public ::testing::TestWithParam<bool> {
 protected:
  Shape declared(Shape shape) const {
    if (GetParam() && shape.rank() > 0) shape.set(0, -1);
    return shape;
  }
  Value input(const Shape& shape, std::vector<double> values = {}) {
    for (auto i = static_cast<int64_t>(values.size()); i < shape.elements(); ++i)
      values.push_back(static_cast<double>(i));
    inputs_.push_back(
        ops::placeholder(graph_, str_cat("x", inputs_.size()), DType::kFloat64, declared(shape)));
    feeds_.emplace_back(inputs_.back(), Tensor::from<double>(shape, values));
    return inputs_.back();
  }
  Value indices(const Shape& shape, const std::vector<int32_t>& values) {
    const Value fed =
        ops::placeholder(graph_, str_cat("i", feeds_.size()), DType::kInt32, declared(shape));
    feeds_.emplace_back(fed, Tensor::from<int32_t>(shape, values));
    return fed;
  }
  // The numbers of `y`, after comparing its gradients with differences.
  std::vector<double> values(Value y, const Shape& shape) {
    EXPECT_TRUE(compatible(y.shape(), shape)) << y.shape();
    if (is_floating(y.dtype())) {
      EXPECT_EQ(check_gradients({y}, inputs_, feeds_), "");
    }
    return values_only(y, shape);
  }
  // The same where a derivative does not exist: at equal elements, at infinities.
  std::vector<double> values_only(Value y, const Shape& shape) {
    const Tensor found = evaluate({y}, feeds_)[0];
    EXPECT_EQ(found.shape(), shape);
    std::vector<double> numbers;
    for (int64_t i = 0; i < found.elements(); ++i) numbers.push_back(found.as_double(i));
    return numbers;
  }
  std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  Graph graph_{core_op_table()};
  std::vector<Value> inputs_;
  Feeds feeds_;
};
INSTANTIATE_TEST_SUITE_P(, ArraysTest, ::testing::Bool(), [](const auto& info) {
  return info.param ? "UnknownBatch" : "KnownShapes";
});

TEST_P(ArraysTest, SplitsStacksAndUnstacks) {
  const Value x = input({2, 5});
  const std::vector<Value> parts = ops::split(x, {2, 3}, -1);
  EXPECT_THAT(values(parts[0], {2, 2}), ElementsAre(0, 1, 5, 6));
  EXPECT_THAT(values(parts[1], {2, 3}), ElementsAre(2, 3, 4, 7, 8, 9));
  const std::vector<Value> columns = ops::unstack(x, 1);
  ASSERT_EQ(columns.size(), 5u);
  EXPECT_THAT(values(columns[3], {2}), ElementsAre(3, 8));
  EXPECT_THAT(values(ops::stack({columns[1], columns[4]}, 0), {2, 2}), ElementsAre(1, 6, 4, 9));
  EXPECT_THAT(values(ops::stack({columns[1], columns[4]}, -1), {2, 2}), ElementsAre(1, 4, 6, 9));
  EXPECT_THAT(error_of([&] { ops::split(x, {2, 2}, 1); }), HasSubstr("expected sizes whose sum"));
  EXPECT_THAT(error_of([&] { ops::split_evenly(x, 2, 1); }), HasSubstr("divides"));
  if (GetParam()) {
    EXPECT_THAT(error_of([&] { ops::unstack(x, 0); }), HasSubstr("known size of axis 0"));
  }
}

TEST_P(ArraysTest, Repeats) {
  const Value x = input({2, 2});
  EXPECT_THAT(values(ops::tile(x, {2, 1}), {4, 2}), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(values(ops::tile(x, {1, 2}), {2, 4}), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_THAT(values(ops::repeat(x, 2, 1), {2, 4}), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(values(ops::repeat(x, 2, 0), {4, 2}), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_THAT(values(ops::broadcast_to(x, {2, -1, 2}), {2, 2, 2}),
              ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(error_of([&] { ops::broadcast_to(x, {2, 3}); }), HasSubstr("broadcasts"));
}

TEST_P(ArraysTest, ReversesAndRolls) {
  const Value x = input({2, 3});
  EXPECT_THAT(values(ops::reverse(x, {1}), {2, 3}), ElementsAre(2, 1, 0, 5, 4, 3));
  EXPECT_THAT(values(ops::reverse(x, {0, 1}), {2, 3}), ElementsAre(5, 4, 3, 2, 1, 0));
  EXPECT_THAT(values(ops::roll(x, 1, 1), {2, 3}), ElementsAre(2, 0, 1, 5, 3, 4));
  EXPECT_THAT(values(ops::roll(x, -4, 1), {2, 3}), ElementsAre(1, 2, 0, 4, 5, 3));
}

TEST_P(ArraysTest, MasksBesideTheDiagonal) {
  const Value x = input({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_THAT(values(ops::tril(x), {3, 3}), ElementsAre(1, 0, 0, 4, 5, 0, 7, 8, 9));
  EXPECT_THAT(values(ops::tril(x, -1), {3, 3}), ElementsAre(0, 0, 0, 4, 0, 0, 7, 8, 0));
  EXPECT_THAT(values(ops::triu(x, 1), {3, 3}), ElementsAre(0, 2, 3, 0, 0, 6, 0, 0, 0));
  // Two new queries after one key that was there before.
  EXPECT_THAT(values(ops::causal_mask(input({2, 3})), {2, 3}), ElementsAre(1, 1, 0, 1, 1, 1));
  EXPECT_THAT(values(ops::axis_index(x, 0), {3, 1}), ElementsAre(0, 1, 2));
}

TEST_P(ArraysTest, MakesConstants) {
  EXPECT_THAT(values(ops::arange(graph_, DType::kInt64, 2, 8, 3), {2}), ElementsAre(2, 5));
  EXPECT_THAT(values(ops::arange(graph_, DType::kInt32, 3, 0, -1), {3}), ElementsAre(3, 2, 1));
  EXPECT_THAT(values(ops::arange(graph_, DType::kInt32, 3, 3), {0}), ElementsAre());
  const Tensor line = evaluate({ops::linspace(graph_, DType::kFloat32, 0, 1, 5)}, {})[0];
  EXPECT_THAT(line.flat<float>(), ElementsAre(0, 0.25f, 0.5f, 0.75f, 1));
  const Tensor unit = evaluate({ops::eye(graph_, DType::kUInt8, 2, 3)}, {})[0];
  EXPECT_THAT(unit.flat<uint8_t>(), ElementsAre(1, 0, 0, 0, 1, 0));
}

TEST_P(ArraysTest, PicksAlongAnAxis) {
  const Value x = input({2, 3});
  EXPECT_THAT(values(ops::gather(x, indices({2}, {2, 0}), 1), {2, 2}), ElementsAre(2, 0, 5, 3));
  EXPECT_THAT(values(ops::gather(x, indices({2, 1}, {2, 0}), 1, 1), {2, 1}), ElementsAre(2, 3));
  EXPECT_THAT(values(ops::take_along_axis(x, indices({2, 2}, {1, 1, 0, 2}), 1), {2, 2}),
              ElementsAre(1, 1, 3, 5));
  EXPECT_THAT(values(ops::take_along_axis(x, indices({1, 3}, {1, 0, 1}), 0), {1, 3}),
              ElementsAre(3, 1, 5));
}

TEST_P(ArraysTest, PicksAndAddsByCoordinates) {
  const Value x = input({2, 3, 2});
  EXPECT_THAT(values(ops::gather_nd(x, indices({2, 2}, {1, 2, 0, 1})), {2, 2}),
              ElementsAre(10, 11, 2, 3));
  EXPECT_THAT(values(ops::gather_nd(x, indices({2, 3}, {1, 2, 0, 0, 1, 1})), {2}),
              ElementsAre(10, 3));
  // Twice at the same place: the sum.
  const Value updates = input({3}, {1, 10, 100});
  EXPECT_THAT(
      values(ops::scatter_nd(indices({3, 2}, {1, 2, 0, 0, 1, 2}), updates, input({2, 3})), {2, 3}),
      ElementsAre(10, 0, 0, 0, 0, 101));
  // A coordinate that is too large must not reach the next row.
  const Value beyond = ops::gather_nd(x, indices({1, 2}, {0, 3}));
  for (const char* kind : {"reference", "cpu"}) {
    EXPECT_THAT(error_of([&] { evaluate({beyond}, feeds_, kind); }),
                HasSubstr("index 3 at position 1 is not in [0, 3), the size of axis 1"));
  }
}

TEST_P(ArraysTest, SumsSegments) {
  const Value x = input({4, 2}, {1, 2, 3, 4, 5, 6, 7, 9});
  const Value ids = indices({4}, {2, 0, 2, 2});
  EXPECT_THAT(values(ops::segment_sum(x, ids, 3), {3, 2}), ElementsAre(3, 4, 0, 0, 13, 17));
  EXPECT_THAT(
      values(ops::segment_mean(x, ids, 3), {3, 2}),
      ElementsAre(3, 4, 0, 0, ::testing::DoubleEq(13.0 / 3), ::testing::DoubleEq(17.0 / 3)));
  EXPECT_THAT(values_only(ops::segment_max(x, ids, 3), {3, 2}),
              ElementsAre(3, 4, -HUGE_VAL, -HUGE_VAL, 7, 9));
  const Value beyond = ops::segment_sum(x, ids, 2);
  EXPECT_THAT(error_of([&] { evaluate({beyond}, feeds_, "cpu"); }), HasSubstr("index 2"));
}

TEST_P(ArraysTest, SortsAlongAnyAxisAndKeepsTheOrderOfEqualElements) {
  const Value x = input({3, 2}, {5, 1, 3, 1, 4, 0});
  EXPECT_THAT(values_only(ops::sort(x, 0), {3, 2}), ElementsAre(3, 0, 4, 1, 5, 1));
  EXPECT_THAT(values(ops::argsort(x, 0), {3, 2}), ElementsAre(1, 2, 2, 0, 0, 1));
  EXPECT_THAT(values(ops::argsort(x, 0, true), {3, 2}), ElementsAre(0, 0, 2, 1, 1, 2));
  const ops::TopK best = ops::top_k(input({2, 3}, {3, 7, 7, 2, 1, 9}), 2);
  EXPECT_THAT(values_only(best.values, {2, 2}), ElementsAre(7, 7, 9, 2));
  EXPECT_THAT(values(best.indices, {2, 2}), ElementsAre(1, 2, 2, 0));
  EXPECT_THAT(error_of([&] { ops::top_k(x, 3); }), HasSubstr("at least 3 elements"));
}

TEST_P(ArraysTest, ANaNIsSortedAsTheLargest) {
  const double nan = std::nan("");
  const Value x = input({5}, {1, nan, -HUGE_VAL, HUGE_VAL, nan});
  for (const char* kind : {"reference", "cpu"}) {
    const std::vector<Tensor> found =
        evaluate({ops::argsort(x), ops::argsort(x, 0, true)}, feeds_, kind);
    EXPECT_THAT(found[0].flat<int64_t>(), ElementsAre(2, 0, 3, 1, 4));
    EXPECT_THAT(found[1].flat<int64_t>(), ElementsAre(1, 4, 3, 0, 2));
  }
}

// The definition: for each element of the result, the sum over the other letters.
struct Equation {
  const char* text;
  std::vector<Shape> shapes;
  const char* result;  // the letters of the result, where the text does not say them
};

std::vector<double> by_definition(const std::vector<std::string>& letters,
                                  const std::vector<Tensor>& operands, const std::string& result) {
  std::string all = result;
  for (const std::string& own : letters) {
    for (char c : own) {
      if (all.find(c) == std::string::npos) all += c;
    }
  }
  const auto size = [&](char c) {
    for (size_t i = 0; i < letters.size(); ++i) {
      if (const size_t axis = letters[i].find(c); axis != std::string::npos)
        return operands[i].shape()[static_cast<int>(axis)];
    }
    return int64_t{0};
  };
  int64_t outputs = 1, summed = 1;
  for (size_t i = 0; i < all.size(); ++i) (i < result.size() ? outputs : summed) *= size(all[i]);
  std::vector<double> sums(static_cast<size_t>(outputs), 0.0);
  for (int64_t n = 0; n < outputs * summed; ++n) {
    std::vector<int64_t> at(all.size());
    int64_t rest = n;
    for (size_t i = all.size(); i-- > 0;) {
      at[i] = rest % size(all[i]);
      rest /= size(all[i]);
    }
    double product = 1;
    for (size_t k = 0; k < letters.size(); ++k) {
      int64_t position = 0;
      for (char c : letters[k]) position = position * size(c) + at[all.find(c)];
      product *= operands[k].as_double(position);
    }
    sums[static_cast<size_t>(n / summed)] += product;
  }
  return sums;
}

TEST_P(ArraysTest, EinsumIsTheSumOfProductsThatItNames) {
  const Equation equations[] = {
      {"ij,jk->ik", {{2, 3}, {3, 4}}, ""},
      {"ij,jk", {{2, 3}, {3, 4}}, "ik"},
      {"ji,jk->ik", {{3, 2}, {3, 4}}, ""},
      {"ij,kj->ki", {{2, 3}, {4, 3}}, ""},
      {"bij,bjk->bik", {{2, 3, 2}, {2, 2, 4}}, ""},
      {"bqhd,bkhd->bhqk", {{2, 3, 2, 2}, {2, 4, 2, 2}}, ""},
      {"bhqk,bkhd->bqhd", {{2, 2, 3, 4}, {2, 4, 2, 2}}, ""},
      {"btd,dhk->bthk", {{2, 3, 4}, {4, 2, 2}}, ""},
      {"bthk,hkd->btd", {{2, 3, 2, 2}, {2, 2, 3}}, ""},
      {"i,j->ij", {{3}, {2}}, ""},
      {"i,i->", {{3}, {3}}, ""},
      {"ij->ji", {{2, 3}}, ""},
      {"ij->j", {{2, 3}}, ""},
      {"ba", {{2, 3}}, "ab"},
      {"ii->", {{3, 3}}, ""},
      {"bii->bi", {{2, 3, 3}}, ""},
      {"ij,ij->ij", {{2, 3}, {2, 3}}, ""},
      {"ij,j,jk->ik", {{2, 3}, {3}, {3, 2}}, ""},
      {"ij,k->i", {{2, 3}, {2}}, ""},
      {"abcd,acef,ad->bef", {{2, 2, 3, 2}, {2, 3, 2, 2}, {2, 2}}, ""},
  };
  for (const Equation& equation : equations) {
    SCOPED_TRACE(equation.text);
    inputs_.clear();
    feeds_.clear();
    std::vector<std::string> letters(1);
    const std::string text = equation.text;
    const size_t arrow = text.find("->");
    for (char c : text.substr(0, arrow)) {
      if (c == ',') {
        letters.emplace_back();
      } else {
        letters.back() += c;
      }
    }
    const std::string result =
        arrow == std::string::npos ? equation.result : text.substr(arrow + 2);
    std::vector<Tensor> operands;
    Shape shape;
    for (size_t i = 0; i < equation.shapes.size(); ++i) {
      operands.push_back(random_tensor(DType::kFloat64, equation.shapes[i], -2, 2, i + 1));
      const auto numbers = operands.back().flat<double>();
      input(equation.shapes[i], {numbers.begin(), numbers.end()});
    }
    for (char c : result) {
      for (size_t i = 0; i < letters.size(); ++i) {
        if (const size_t axis = letters[i].find(c); axis != std::string::npos) {
          shape.push_back(equation.shapes[i][static_cast<int>(axis)]);
          break;
        }
      }
    }
    const std::vector<double> found = values(ops::einsum(text, inputs_), shape);
    const std::vector<double> expected = by_definition(letters, operands, result);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12) << i;
  }
}

TEST_P(ArraysTest, EinsumTakesUnnamedAxes) {
  const Value x = input({2, 2, 3}), w = input({3, 2}, {1, 0, 0, 1, 1, 1});
  EXPECT_THAT(values(ops::einsum("...i,ij->...j", {x, w}), {2, 2, 2}),
              ElementsAre(2, 3, 8, 9, 14, 15, 20, 21));
  EXPECT_THAT(values(ops::einsum("...ij->...ji", {x}), {2, 3, 2}),
              ElementsAre(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11));
}

TEST_P(ArraysTest, EinsumSaysWhichLetterIsWrong) {
  const Value a = input({2, 3}), b = input({4, 5});
  const auto error = [&](const char* text, const std::vector<Value>& operands) {
    return error_of([&] { ops::einsum(text, operands); });
  };
  EXPECT_THAT(error("ij,kj->ik", {a, b}),
              HasSubstr("expected one size for 'j'; found 3 in operand 0"));
  EXPECT_THAT(error("ij->iz", {a}), HasSubstr("found 'z'"));
  EXPECT_THAT(error("ij->ii", {a}), HasSubstr("found 'i' twice"));
  EXPECT_THAT(error("ijk->i", {a}), HasSubstr("a letter for each axis of operand 0"));
  EXPECT_THAT(error("ij,jk->ik", {a}), HasSubstr("as many operands as the equation has, 2"));
  EXPECT_THAT(error("i1->i", {a}), HasSubstr("found '1'"));
}

}  // namespace
}  // namespace trireme::testing
