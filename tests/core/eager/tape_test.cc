// Gradients of what was computed at once are those of the same graph.
#include "core/eager/tape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/eager/ops.h"
#include "core/runtime/session.h"
#include "tests/support/evaluate.h"

namespace trireme::eager {
namespace {

using ::testing::HasSubstr;

TEST(TapeTest, DifferentiatesInFiveLines) {
  const Value x(3.0), y(2.0);
  Tape tape;
  tape.watch(x);
  const Value z = x * y + sin(x);
  EXPECT_NEAR(tape.gradient(z, x).item(), 2 + std::cos(3.0), 1e-6);
}

TEST(TapeTest, TapesAroundTapesGiveHigherOrders) {
  const Value x(2.0);
  Tape third;
  third.watch(x);
  Value d1, d2;
  {
    Tape second;
    second.watch(x);
    {
      Tape first;
      first.watch(x);
      const Value y = x * x * x * x;
      d1 = first.gradient(y, x);
    }
    d2 = second.gradient(d1, x);
  }
  EXPECT_FLOAT_EQ(static_cast<float>(d1.item()), 32);
  EXPECT_FLOAT_EQ(static_cast<float>(d2.item()), 48);
  EXPECT_FLOAT_EQ(static_cast<float>(third.gradient(d2, x).item()), 48);
}

struct Layers {
  Tensor x = testing::random_tensor(DType::kFloat32, {31, 20}, -1, 1, 1);
  Tensor w = testing::random_tensor(DType::kFloat32, {20, 33}, -1, 1, 2);
  Tensor b = testing::random_tensor(DType::kFloat32, {33}, -1, 1, 3);
  Tensor v = testing::random_tensor(DType::kFloat32, {33, 7}, -1, 1, 4);
  Tensor labels = testing::random_tensor(DType::kInt64, {31}, 0, 7, 5);
};

// Also with the passes of a session: all but the one that fuses an activation into a product, whose
// tanh is another one.
TEST(TapeTest, GradientsAreTheGraphsToTheLastBit) {
  const Layers at;
  const Value x(at.x), labels(at.labels);
  const std::vector<Value> weights = {Value(at.w), Value(at.b), Value(at.v)};
  Tape tape;
  for (const Value& weight : weights) tape.watch(weight);
  const Value hidden = tanh(matmul(x, weights[0]) + weights[1]);
  const Value loss = mean(sparse_softmax_cross_entropy(matmul(hidden, weights[2]), labels));
  const std::vector<Value> found = tape.gradient(loss, weights);

  Graph graph(core_op_table());
  const auto input = [&](const Tensor& value) {
    return ops::placeholder(graph, "x", value.dtype(), value.shape());
  };
  const auto gx = input(at.x), gw = input(at.w), gb = input(at.b), gv = input(at.v);
  const auto gl = input(at.labels);
  const auto gh = ops::tanh(ops::matmul(gx, gw) + gb);
  const auto total = ops::mean(ops::sparse_softmax_cross_entropy(ops::matmul(gh, gv), gl));
  const std::vector<trireme::Value> wrt = {gw, gb, gv};
  std::vector<trireme::Value> fetches = {total};
  for (const Gradient& gradient : gradients(total, wrt)) fetches.push_back(gradient.values);
  Session session(graph, {.passes = {.fuse_bias_activation = false}});
  const std::vector<Tensor> expected =
      session.run({{gx, at.x}, {gw, at.w}, {gb, at.b}, {gv, at.v}, {gl, at.labels}}, fetches);
  EXPECT_EQ(testing::difference(loss.tensor(), expected[0], 0), "");
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(testing::difference(found[i].tensor(), expected[i + 1], 0), "") << i;
  }
}

// The program of a gradient is found again, so a loop makes none, and its numbers are the new ones.
TEST(TapeTest, ALoopMakesItsProgramsOnce) {
  const Value y(0.5);
  Value x(1.0);
  int64_t made = 0;
  for (int i = 0; i < 10; ++i) {
    Tape tape;
    tape.watch(x);
    const Value z = square(x - y);
    const double before = x.item();
    x = x - 0.1 * tape.gradient(z, x);
    EXPECT_NEAR(x.item(), before - 0.2 * (before - 0.5), 1e-6);
    if (i == 0) made = Context::current().programs_made();
  }
  EXPECT_EQ(Context::current().programs_made(), made);
}

// The same ops on other inputs are another gradient.
TEST(TapeTest, TellsApartWhichInputIsWhich) {
  const Value a(2.0), b(5.0);
  for (int i = 0; i < 2; ++i) {
    Tape tape;
    tape.watch(a);
    tape.watch(b);
    EXPECT_EQ(tape.gradient(a * b, a).item(), 5);
    EXPECT_EQ(tape.gradient(a * b, b).item(), 2);
    EXPECT_EQ(tape.gradient(a * a, a).item(), 4);
    EXPECT_EQ(tape.gradient(b * a, b).item(), 2);
  }
}

TEST(TapeTest, WhatDoesNotDependIsUndefined) {
  const Value x(2.0), y(3.0);
  Tape tape;
  tape.watch(x);
  tape.watch(y);
  EXPECT_FALSE(tape.gradient(y * y, x).defined());
  EXPECT_FALSE(tape.gradient(stop_gradient(x * x), x).defined());
  EXPECT_FALSE(tape.gradient(Value(1.0), x).defined());
}

TEST(TapeTest, SeedsAreVectorJacobianProducts) {
  const Value x = array({1, 2, 3});
  Tape tape;
  tape.watch(x);
  const Value y = square(x);
  const std::vector<Value> sources = {x};
  EXPECT_EQ(tape.gradient(y, sources, array({1, 10, 100}))[0].to_string(), "f32[3] [2, 40, 600]");
  EXPECT_THROW(tape.gradient(y, sources, Value(1.0)), Error);
}

// A gradient of what the tape never saw would look like "does not depend".
TEST(TapeTest, SourcesThatAreNotWatchedAreErrors) {
  const Value x(2.0), other(2.0);
  Tape tape;
  tape.watch(x);
  const Value y = x * other;
  try {
    tape.gradient(y, other);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("watch(x) comes before x is used"));
  }
  EXPECT_THROW(tape.watch(Value(Tensor::scalar<int64_t>(1))), Error);
}

}  // namespace
}  // namespace trireme::eager
