// Values compute what the ops of a graph compute, at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/eager/ops.h"
#include "tests/support/evaluate.h"

namespace trireme::eager {
namespace {

using ::testing::HasSubstr;

template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(EagerTest, OperatorsBroadcastAsNumPyDoes) {
  const Value x = array({1, 2, 3, 4, 5, 6}, {2, 3}), row = array({10, 20, 30});
  EXPECT_EQ((x + row).to_string(), "f32[2, 3] [[11, 22, 33], [14, 25, 36]]");
  EXPECT_EQ((2 * x - row / 10).to_string(), "f32[2, 3] [[1, 2, 3], [7, 8, 9]]");
  EXPECT_EQ((-x + 1).to_string(), "f32[2, 3] [[0, -1, -2], [-3, -4, -5]]");
  EXPECT_EQ(sum(x).item(), 21);
  EXPECT_EQ(sum(x, {0}).to_string(), "f32[3] [5, 7, 9]");
  EXPECT_EQ(matmul(x, x, false, true).to_string(), "f32[2, 2] [[14, 32], [32, 77]]");
}

// A number beside a value is of its type, also where that is not f32.
TEST(EagerTest, NumbersHaveTheTypeOfTheValue) {
  const Value whole(Tensor::from<int64_t>({2}, {7, 9}));
  EXPECT_EQ((whole * 2).to_string(), "i64[2] [14, 18]");
  EXPECT_THAT(error_of([&] { whole * 0.5; }), HasSubstr("0.5 is no number of i64[2]"));
  const Value wide(Tensor::from<double>({}, {0.1}));
  EXPECT_EQ((wide + 0.2).item(), 0.1 + 0.2);
}

TEST(EagerTest, ManyNumbersMakeOneProgram) {
  const Value x(3.0);
  double expected = 0, found = 0;
  (x * 0.5).item();
  const int64_t before = Context::current().programs_made();
  for (int i = 0; i < 100; ++i) {
    found += (x * (0.25 * i)).item();
    expected += 3 * 0.25 * i;
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(Context::current().programs_made(), before);
}

TEST(EagerTest, SlicesAsPythonDoes) {
  const Value x = array({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4});
  EXPECT_EQ(x[1].to_string(), "f32[4] [4, 5, 6, 7]");
  EXPECT_EQ(x[-1][2].item(), 10);
  EXPECT_EQ(x.slice({{1, 3}, {-2, {}}}).to_string(), "f32[2, 2] [[6, 7], [10, 11]]");
  EXPECT_EQ(x.slice({Slice::all(), Slice::at(0)}).to_string(), "f32[3] [0, 4, 8]");
  EXPECT_EQ(x.slice({{2, 99}}).shape(), (Shape{1, 4}));
  EXPECT_EQ(x.slice({{2, 1}}).shape(), (Shape{0, 4}));
  EXPECT_THAT(error_of([&] { x[3]; }), HasSubstr("index 3 of axis 0 of f32[3, 4]"));
  EXPECT_THAT(error_of([&] { x[0][0][0]; }), HasSubstr("a slice of 1 axes of f32[]"));
}

TEST(EagerTest, LongValuesArePrintedShort) {
  Tensor many = Tensor::zeros(DType::kInt32, {100, 2});
  many.flat<int32_t>()[199] = 5;
  EXPECT_EQ(Value(many).to_string(),
            "i32[100, 2] [[0, 0], [0, 0], [0, 0], …, [0, 0], [0, 0], [0, 5]]");
}

// What is held while others compute keeps its numbers: memory goes round only when nobody has it.
TEST(EagerTest, MemoryIsNotReusedWhileAValueIsHeld) {
  std::vector<Value> held;
  const Value one = array({1, 1, 1});
  Value x = one;
  for (int i = 0; i < 50; ++i) {
    x = x + one;
    if (i % 3 == 0) held.push_back(x);
  }
  for (size_t i = 0; i < held.size(); ++i)
    EXPECT_EQ(held[i][0].item(), 3 * static_cast<double>(i) + 2);
  EXPECT_EQ(x[2].item(), 51);
}

TEST(EagerTest, WrongShapesSayWhichOpAndWhich) {
  const std::string text = error_of([] { array({1, 2, 3}) + array({1, 2}); });
  EXPECT_THAT(text, HasSubstr("Add"));
  EXPECT_THAT(text, HasSubstr("f32[3]"));
  EXPECT_THAT(error_of([] { Value() + Value(1.0); }), HasSubstr("undefined"));
  EXPECT_THAT(error_of([] { array({1, 2}, {3}); }), HasSubstr("an array of 2 numbers"));
  EXPECT_THAT(error_of([] { array({1, 2}).item(); }), HasSubstr("the only number"));
}

// The same kernels as a graph's: to the last bit.
TEST(EagerTest, GivesTheBitsOfTheGraph) {
  const Tensor a = testing::random_tensor(DType::kFloat32, {17, 33}, -2, 2, 1);
  const Tensor b = testing::random_tensor(DType::kFloat32, {33, 9}, -2, 2, 2);
  const Value found = softmax(tanh(matmul(Value(a), Value(b))));
  Graph graph(core_op_table());
  const auto x = ops::placeholder(graph, "a", DType::kFloat32, {17, 33});
  const auto y = ops::placeholder(graph, "b", DType::kFloat32, {33, 9});
  const Tensor expected =
      testing::evaluate({ops::softmax(ops::tanh(ops::matmul(x, y)))}, {{x, a}, {y, b}}, "cpu")[0];
  EXPECT_EQ(testing::difference(found.tensor(), expected, 0), "");
}

TEST(EagerTest, ApplyCallsAnyBuilder) {
  const Value x = array({1, 2});
  const Value padded =
      apply([](std::span<const trireme::Value> in,
               const Words& w) { return std::vector{ops::pad(in[0], {w[0]}, {w[1]})}; },
            {&x}, {1, 2})[0];
  EXPECT_EQ(padded.to_string(), "f32[5] [0, 1, 2, 0, 0]");
}

// What changes a variable would change a value that others hold.
TEST(EagerTest, RefusesOpsThatChangeVariables) {
  const Value x = array({1, 2});
  EXPECT_THAT(error_of([&] {
                apply([](std::span<const trireme::Value> in,
                         const Words&) { return std::vector{ops::assign(in[0], in[1]).output()}; },
                      {&x, &x});
              }),
              HasSubstr("belongs into a graph"));
}

}  // namespace
}  // namespace trireme::eager
