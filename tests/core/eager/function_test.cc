// A function that is traced gives what it gives op by op.
#include "core/eager/function.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/eager/ops.h"
#include "core/eager/tape.h"
#include "tests/support/evaluate.h"

namespace trireme::eager {
namespace {

using ::testing::HasSubstr;

TEST(FunctionTest, IsTracedOnceForEachType) {
  int calls = 0;
  auto f = function([&](const Value& a, const Value& b) {
    ++calls;
    return sum(a * b + 1.0);
  });
  EXPECT_EQ(f(array({1, 2}), array({3, 4})).item(), 13);
  EXPECT_EQ(f(array({5, 6}), array({7, 8})).item(), 85);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(f(array({1, 2, 3}), array({1, 1, 1})).item(), 9);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(f.traces(), 2u);
}

TEST(FunctionTest, TakesGradientsWithin) {
  const Tensor start = testing::random_tensor(DType::kFloat32, {4, 3}, -1, 1, 1);
  const Value x(testing::random_tensor(DType::kFloat32, {8, 4}, -1, 1, 2));
  const auto step = [](const Value& weight, const Value& input) {
    Tape tape;
    tape.watch(weight);
    const Value loss = mean(square(tanh(matmul(input, weight)) - 0.5));
    return std::vector{loss, weight - 0.5 * tape.gradient(loss, weight)};
  };
  auto traced = function(step);
  Value w(start), u(start);
  for (int i = 0; i < 5; ++i) {
    const std::vector<Value> graph = traced(w, x), at_once = step(u, x);
    EXPECT_EQ(testing::difference(graph[0].tensor(), at_once[0].tensor(), 0), "");
    w = graph[1];
    u = at_once[1];
    EXPECT_EQ(testing::difference(w.tensor(), u.tensor(), 0), "");
  }
}

// Results that are held are not written over by the next call.
TEST(FunctionTest, ResultsStayWhatTheyAre) {
  auto twice = function([](const Value& x) { return x * 2.0; });
  const Value two = twice(Value(1.0)), four = twice(two), eight = twice(four);
  EXPECT_EQ(two.item(), 2);
  EXPECT_EQ(four.item(), 4);
  EXPECT_EQ(eight.item(), 8);
}

TEST(FunctionTest, ATapeOutsideSeesThroughIt) {
  auto f = function([](const Value& x) { return x * x; });
  const Value x(3.0);
  f(x);  // traced before
  Tape tape;
  tape.watch(x);
  EXPECT_EQ(tape.gradient(f(x), x).item(), 6);
}

// A value that f uses without being given it is a constant of the graph: no gradient could come.
TEST(FunctionTest, RefusesToLoseTheGradientOfACapturedValue) {
  const Value w(3.0), x(2.0);
  auto f = function([&](const Value& input) { return input * w; });
  EXPECT_EQ(f(x).item(), 6);
  Tape tape;
  tape.watch(w);
  try {
    f(x);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("make it an input"));
  }
}

TEST(FunctionTest, SymbolsHaveNoNumbers) {
  auto f = function([](const Value& x) { return x * x.item(); });
  try {
    f(Value(1.0));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("while its function is traced"));
  }
}

TEST(FunctionTest, FunctionsMayCallFunctions) {
  auto inner = function([](const Value& x) { return x + 1.0; });
  auto outer = function([&](const Value& x) { return inner(x) * inner(x); });
  EXPECT_EQ(outer(Value(2.0)).item(), 9);
}

}  // namespace
}  // namespace trireme::eager
