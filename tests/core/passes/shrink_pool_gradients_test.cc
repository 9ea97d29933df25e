#include "core/passes/shrink_pool_gradients.h"

#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "tests/core/passes/run_program.h"

namespace trireme {
namespace {

using testing::Build;
using testing::compare;
using testing::count;
using testing::make_program;

Program shrink(const Build& build) { return shrink_pool_gradients(make_program(build)); }

void expect_same(const Program& actual, const Build& build) {
  verify(*actual.graph);
  for (const char* kind : {"reference", "cpu"}) {
    EXPECT_EQ(compare(actual, make_program(build), 1e-5, kind), "") << kind;
  }
}

// How many nodes of `op` work on whole images and not on pooled ones.
int count_large(const Program& program, std::string_view op) {
  int nodes = 0;
  for (const auto& node : program.graph->nodes()) {
    if (node->op().name == op && node->input(0).shape()[1] == 6) ++nodes;
  }
  return nodes;
}

std::vector<Value> gradients_of(Value loss, const std::vector<Value>& variables) {
  std::vector<Value> values;
  for (const Gradient& gradient : gradients(loss, variables)) values.push_back(gradient.values);
  return values;
}

Value images(Graph& g) { return ops::placeholder(g, "x", DType::kFloat32, {-1, 6, 6, 2}); }

// Windows that tile the image, that overlap, and that reach over its edge.
const std::vector<ops::Pool2dOptions> kPools = {
    {},
    {.window_h = 3, .window_w = 3, .stride_h = 2, .stride_w = 1},
    {.window_h = 3, .window_w = 3, .padding = ops::Padding::kSame},
};

TEST(ShrinkPoolGradientsTest, ReluAndBiasOfAConvolution) {
  for (const ops::Pool2dOptions& options : kPools) {
    const Build build = [&](Graph& g, Program& p) {
      const Value w = ops::variable(g, "w", DType::kFloat32, {3, 3, 2, 4});
      const Value b = ops::variable(g, "b", DType::kFloat32, {4});
      const Value y =
          ops::relu(ops::bias_add(ops::conv2d(images(g), w, {.padding = ops::Padding::kSame}), b));
      const Value loss = ops::mean(ops::square(ops::max_pool2d(y, options)));
      p.fetches = gradients_of(loss, {w, b});
    };
    EXPECT_EQ(count_large(make_program(build), "ReluGrad"), 1);
    EXPECT_EQ(count_large(make_program(build), "Sum"), 1);
    const Program program = shrink(build);
    EXPECT_EQ(count_large(program, "ReluGrad"), 0);
    EXPECT_EQ(count_large(program, "Sum"), 0);
    EXPECT_EQ(count(program, "ReluGrad"), 1);
    EXPECT_EQ(count(program, "MaxPool2dGrad"), 1);
    expect_same(program, build);
  }
}

TEST(ShrinkPoolGradientsTest, SumBehindAnAveragePooling) {
  for (const ops::Pool2dOptions& options : kPools) {
    for (const Ints& axes : {Ints{1, 2}, Ints{0, 1, 2}, Ints{0, 1}, Ints{2, 3}}) {
      const Build build = [&](Graph& g, Program& p) {
        const Value x = images(g);
        const Value loss = ops::mean(ops::square(ops::avg_pool2d(x, options)));
        p.fetches = {ops::sum(gradients_of(loss, {x})[0], axes, true)};
      };
      const bool whole_images = axes[0] <= 1 && axes.back() == 2;
      const Program program = shrink(build);
      EXPECT_EQ(count_large(program, "Sum"), whole_images ? 0 : 1);
      expect_same(program, build);
    }
  }
}

TEST(ShrinkPoolGradientsTest, AGradientThatOthersSeeStays) {
  const Build build = [](Graph& g, Program& p) {
    const Value x = images(g), y = ops::relu(x);
    const Value loss = ops::mean(ops::square(ops::max_pool2d(y, {})));
    p.fetches = gradients_of(loss, {x, y});
  };
  const Program program = shrink(build);
  EXPECT_EQ(count_large(program, "ReluGrad"), 1);
  expect_same(program, build);
}

TEST(ShrinkPoolGradientsTest, TheReluOfAnotherValueStays) {
  const Build build = [](Graph& g, Program& p) {
    const Value x = images(g), y = ops::relu(x);
    const Value pooled = ops::max_pool2d(x, {});
    const Value spread =
        g.add("MaxPool2dGrad", {pooled, {pooled.node, 1}, x}, pooled.node->attributes()).output();
    p.fetches = {g.add("ReluGrad", {spread, y}).output()};
  };
  const Program program = shrink(build);
  EXPECT_EQ(count_large(program, "ReluGrad"), 1);
  expect_same(program, build);
}

}  // namespace
}  // namespace trireme
