#include "core/passes/fuse_elementwise.h"

#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/elementwise_chain.h"
#include "core/ops/ops.h"
#include "core/passes/optimize.h"
#include "core/passes/split_ops.h"
#include "tests/core/passes/run_program.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using testing::Build;
using testing::compare;
using testing::count;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_program;
using ::testing::ThrowsMessage;

Value variable(Graph& graph, const std::string& name, const Shape& shape) {
  return ops::variable(graph, name, DType::kFloat32, shape);
}
Value batch(Graph& graph, const std::string& name = "x") {
  return ops::placeholder(graph, name, DType::kFloat32, {-1, 4});
}

// These programs are not placed.
Program fuse(const Build& build) { return fuse_elementwise(make_program(build), {""}); }

// The program after fusion does the same as before. On the host a chain rounds after each step, so
// that not a bit differs.
void expect_same(const Program& actual, const Build& build) {
  verify(*actual.graph);
  EXPECT_EQ(compare(actual, make_program(build), 0), "");
  EXPECT_EQ(compare(actual, make_program(build), 1e-5, "cpu"), "");
}

int chains(const Build& build) { return count(fuse(build), "FusedElementwise"); }

const Node& only_chain(const Program& program) {
  for (const auto& node : program.graph->nodes()) {
    if (node->op().name == "FusedElementwise") return *node;
  }
  throw std::logic_error("there is no chain");
}

TEST(FuseElementwiseTest, AChainWithBroadcastsIsOneNode) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), b = variable(g, "b", {4});
    p.fetches = {ops::sigmoid(ops::bias_add(x, b) * ops::scalar(g, DType::kFloat32, 0.5))};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  EXPECT_EQ(fused.fetches[0].node->op().name, "FusedElementwise");
  EXPECT_EQ(fused.fetches[0].node->name(), make_program(build).fetches[0].node->name());
  // The constant is in the chain, so that nothing is read for it.
  EXPECT_EQ(only_chain(fused).attribute<std::string>("chain"),
            "BiasAdd(0,1) Constant[dtype=t:f32,value=d:0x1p-1]() Multiply(2,3) Sigmoid(4) -> 5");
  expect_same(fused, build);
}

TEST(FuseElementwiseTest, OneOpStaysWhatItIs) {
  const Build build = [](Graph& g, Program& p) { p.fetches = {ops::relu(batch(g))}; };
  EXPECT_EQ(chains(build), 0);
}

TEST(FuseElementwiseTest, OtherDevicesKeepTheirOps) {
  const Build build = [](Graph& g, Program& p) {
    Value y = ops::relu(batch(g)), z = ops::tanh(y);
    y.node->set_device("/device:GPU:0");
    z.node->set_device("/device:GPU:1");
    Value u = ops::exp(ops::square(z));
    p.fetches = {u};
  };
  // Neither over two devices, nor where no kernel is made of chains.
  EXPECT_EQ(count(fuse_elementwise(make_program(build), {"/device:GPU:0", "/device:GPU:1"}),
                  "FusedElementwise"),
            0);
  EXPECT_EQ(chains(build), 1);
}

// What others see is an output, and the chain goes on.
TEST(FuseElementwiseTest, ValuesThatOthersSeeAreOutputs) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g);
    Value y = ops::tanh(x), z = ops::square(y), u = ops::negate(z);
    p.fetches = {y, ops::matmul(z, variable(g, "w", {4, 3})), u};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  EXPECT_EQ(only_chain(fused).output_count(), 3);
  EXPECT_EQ(fused.graph->size(), 4);
  expect_same(fused, build);
}

TEST(FuseElementwiseTest, AProducerMayHaveSeveralUsersInside) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), y = ops::exp(x);
    p.fetches = {ops::select(ops::greater(y, x), y * x, y - x)};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  EXPECT_EQ(only_chain(fused).output_count(), 1);
  EXPECT_EQ(fused.graph->size(), 2);
  expect_same(fused, build);
}

// y is needed by the product, whose result the last op needs: one kernel cannot wait for itself.
TEST(FuseElementwiseTest, AProductInBetweenKeepsBothEndsApart) {
  const Build build = [](Graph& g, Program& p) {
    Value y = ops::relu(ops::negate(batch(g)));
    Value product = ops::matmul(y, variable(g, "w", {4, 4}));
    p.fetches = {ops::sigmoid(product + y)};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 2);
  expect_same(fused, build);
}

// The derivative of tanh is computed where it is needed, instead of being kept until then.
TEST(FuseElementwiseTest, WhatIsNeededLateIsComputedLate) {
  const Build build = [](Graph& g, Program& p) {
    Value y = ops::tanh(ops::negate(batch(g)));
    Value derivative = ops::scalar(g, DType::kFloat32, 1) - ops::square(y);
    p.fetches = {ops::matmul(y, variable(g, "w", {4, 4})) * derivative};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 2);
  EXPECT_EQ(only_chain(fused).attribute<std::string>("chain"), "Negate(0) Tanh(1) -> 2");
  expect_same(fused, build);
}

// No single op closes the circle, but the chains would: each needs what the other makes.
TEST(FuseElementwiseTest, TwoChainsThatNeedEachOtherStayTwo) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), w = variable(g, "w", {4, 4});
    Value a = ops::exp(x), b = ops::tanh(x);
    Value a2 = ops::square(ops::matmul(b, w)) + a;
    Value b2 = ops::negate(ops::matmul(a, w)) + b;
    p.fetches = {a2, b2};
  };
  const Program fused = fuse(build);
  expect_same(fused, build);
  EXPECT_GE(count(fused, "FusedElementwise"), 1);
}

TEST(FuseElementwiseTest, AReaderOfAVariableDoesNotWaitForItsUpdate) {
  const Build build = [](Graph& g, Program& p) {
    Value w = variable(g, "w", {4});
    Value before = ops::square(w);
    Value after = ops::assign_add(w, ops::fill_like(w, 1)).output();
    p.fetches = {ops::negate(before) * ops::exp(after)};
  };
  const Program fused = fuse(build);
  EXPECT_NO_THROW(execution_order(*fused.graph));
  EXPECT_EQ(count(fused, "Square"), 1);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  verify(*fused.graph);
}

TEST(FuseElementwiseTest, WhatIsSmallIsComputedWhereItIsBroadcast) {
  const Build build = [](Graph& g, Program& p) {
    Value scale = ops::exp(ops::negate(variable(g, "s", {4})));
    p.fetches = {ops::relu(batch(g) * scale)};
  };
  EXPECT_EQ(fuse(build).graph->size(), 3);
  expect_same(fuse(build), build);

  // But not when others need it too: it would have to be stored again and again.
  const Build shared = [](Graph& g, Program& p) {
    Value scale = ops::exp(ops::negate(variable(g, "s", {4})));
    p.fetches = {ops::relu(batch(g) * scale), ops::tanh(batch(g, "y") - scale)};
  };
  EXPECT_EQ(chains(shared), 3);
  expect_same(fuse(shared), shared);
}

// As the gradient of a mean loss is: 1, divided by the batch, for each row.
TEST(FuseElementwiseTest, NewDimensionsInBetweenAreNoHindrance) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), rows = ops::placeholder(g, "rows", DType::kFloat32, {-1});
    Value mean = ops::mean(rows);
    Value seed = ops::expand_dims(ops::fill_like(mean, 1), {0});
    Value each = ops::expand_dims(ops::broadcast_like(seed, rows, true), {1});
    p.fetches = {ops::tanh(each * x), mean};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  EXPECT_EQ(count(fused, "BroadcastLike"), 0);
  EXPECT_EQ(only_chain(fused).inputs().size(), 2u);
  expect_same(fused, build);

  const Build squeezed = [](Graph& g, Program& p) {
    Value x = ops::placeholder(g, "x", DType::kFloat32, {-1, 1, 4});
    p.fetches = {ops::square(ops::squeeze(ops::exp(x), {1})) * batch(g, "y")};
  };
  EXPECT_EQ(chains(squeezed), 1);
  EXPECT_EQ(count(fuse(squeezed), "Squeeze"), 0);
  expect_same(fuse(squeezed), squeezed);
}

TEST(FuseElementwiseTest, AValueThatIsNeededAtTwoPlacesIsNoChain) {
  const Build build = [](Graph& g, Program& p) {
    Value x = ops::exp(variable(g, "x", {4}));
    p.fetches = {ops::tanh(ops::expand_dims(x, {1}) - x)};
  };
  EXPECT_EQ(count(fuse(build), "Exp"), 1);
  expect_same(fuse(build), build);
}

// A view is free; a chain would copy it.
TEST(FuseElementwiseTest, ViewsThatOthersSeeStay) {
  const Build build = [](Graph& g, Program& p) {
    Value y = ops::expand_dims(ops::exp(batch(g)), {1});
    p.fetches = {ops::tanh(y), y};
  };
  EXPECT_EQ(chains(build), 0);
  expect_same(fuse(build), build);
}

TEST(FuseElementwiseTest, FeedsTargetsAndControlInputsStay) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g);
    Value fed = ops::negate(x), target = ops::exp(fed), waits = ops::square(target);
    waits.node->add_control_input(batch(g, "before").node);
    p.feeds = {x};
    p.targets = {target.node};
    p.fetches = {ops::relu(ops::tanh(waits))};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(fused.targets[0]->op().name, "Exp");
  EXPECT_EQ(count(fused, "Square"), 1);
  EXPECT_EQ(count(fused, "FusedElementwise"), 1);
  expect_same(fused, build);

  const Build feeding = [](Graph& g, Program& p) {
    Value fed = ops::negate(batch(g));
    p.feeds = {fed};
    p.fetches = {ops::tanh(fed)};
  };
  EXPECT_EQ(chains(feeding), 0);
}

// Output 0 may be written over input 0: that one must have elements of its size.
TEST(FuseElementwiseTest, TheFirstInputCanHoldTheFirstOutput) {
  const Build build = [](Graph& g, Program& p) {
    Value counts = ops::placeholder(g, "counts", DType::kInt64, {-1, 4});
    Value y = ops::matmul(batch(g), variable(g, "w", {4, 4}));
    p.fetches = {ops::cast(counts, DType::kFloat32) * variable(g, "b", {4}) + y};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(only_chain(fused).input(0).node->op().name, "MatMul");
  expect_same(fused, build);

  // Doubles that are broadcast could have as many bytes as the floats that come of them.
  const Build unsafe = [](Graph& g, Program& p) {
    Value x = ops::placeholder(g, "x", DType::kFloat64, {4});
    Value zero = ops::constant(g, Tensor::from<double>({2, 1}, {0, 1}));
    p.fetches = {ops::cast(ops::tanh(x * zero), DType::kFloat32)};
  };
  EXPECT_EQ(chains(unsafe), 0);
  expect_same(fuse(unsafe), unsafe);
}

TEST(FuseElementwiseTest, ATrainingStepComputesTheSame) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g);
    std::vector<Value> variables = {variable(g, "a", {4, 5}), variable(g, "b", {5}),
                                    variable(g, "c", {5, 4}), variable(g, "d", {4})};
    Value y = ops::tanh(ops::bias_add(ops::matmul(x, variables[0]), variables[1]));
    y = ops::bias_add(ops::matmul(y, variables[2]), variables[3]);
    Value loss = ops::mean(ops::square(y - x));
    const auto grads = gradients(loss, variables);
    Value lr = ops::scalar(g, DType::kFloat32, 0.25);
    for (size_t i = 0; i < variables.size(); ++i) {
      p.targets.push_back(&testing::apply_sgd(variables[i], {}, lr, grads[i].values, {}));
    }
    p.feeds = {x};
    p.fetches = {loss};
  };
  const Program fused = fuse(build);
  EXPECT_LE(count(fused, "FusedElementwise"), 4);
  for (const char* op : {"BiasAdd", "Tanh", "Subtract", "Square"}) EXPECT_EQ(count(fused, op), 0);
  expect_same(fused, build);

  PassOptions options{.kernels = &testing::test_kernels(),
                      .placement = {{"/device:CPU:0"}, ""},
                      .chain_devices = {"/device:CPU:0"},
                      .verify = true};
  const Program all = optimize(make_program(build), options);
  EXPECT_GE(count(all, "FusedElementwise"), 1);
  EXPECT_EQ(compare(all, make_program(build)), "");
  options.fuse_elementwise = false;
  EXPECT_EQ(count(optimize(make_program(build), options), "FusedElementwise"), 0);
}

// What is normalised is written once, and not at all before the activation.
TEST(SplitBatchNormTest, NormalisationActivationAndSumAreOneChain) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), y = batch(g, "y"), scale = variable(g, "scale", {4});
    const auto norm = ops::batch_norm(x, scale, variable(g, "offset", {4}), 1e-3);
    const Value z = ops::relu(norm.y + y);
    const Value wanted[] = {x, scale};
    const auto grads = gradients(ops::mean(ops::square(z)), wanted);
    p.fetches = {z, norm.mean * norm.variance, grads[0].values, grads[1].values};
  };
  const Program split = split_ops(make_program(build), {""});
  EXPECT_EQ(count(split, "BatchNorm"), 0);
  EXPECT_EQ(count(split, "BatchNormStatistics"), 1);
  verify(*split.graph);
  EXPECT_EQ(compare(split, make_program(build)), "");
  const Program fused = fuse_elementwise(split_ops(make_program(build), {""}), {""});
  EXPECT_EQ(count(fused, "Relu") + count(fused, "Add") + count(fused, "Subtract"), 0);
  EXPECT_EQ(compare(fused, make_program(build)), "");
}

TEST(SplitBatchNormTest, StaysWholeWhereNothingElementwiseFollows) {
  const Build build = [](Graph& g, Program& p) {
    const auto norm =
        ops::batch_norm(batch(g), variable(g, "scale", {4}), variable(g, "offset", {4}), 1e-3);
    p.fetches = {ops::matmul(norm.y, variable(g, "w", {4, 2}))};
  };
  EXPECT_EQ(count(split_ops(make_program(build), {""}), "BatchNorm"), 1);
  const Build elsewhere = [](Graph& g, Program& p) {
    const auto norm =
        ops::batch_norm(batch(g), variable(g, "scale", {4}), variable(g, "offset", {4}), 1e-3);
    p.fetches = {ops::relu(norm.y)};
  };
  EXPECT_EQ(count(split_ops(make_program(elsewhere), {}), "BatchNorm"), 1);
}

TEST(ElementwiseChainTest, TextIsReadAsItWasWritten) {
  const std::string text =
      "Constant[dtype=t:f64,value=d:-0x1.999999999999ap-4]() Add(0,2) Cast[dtype=t:bf16](3) "
      "BroadcastLike[average=b:1](4,1) ExpandDims[axes=l:0.2](4) -> 4,5";
  const Chain chain = parse_chain(text, 2);
  EXPECT_EQ(chain.to_string(), text);
  EXPECT_EQ(chain.steps[0].attributes.get<double>("value"), -0.1);
  EXPECT_THAT(chain.outputs, ElementsAre(4, 5));
}

TEST(ElementwiseChainTest, TextThatIsNoChainIsRefused) {
  for (const char* text :
       {"", "Add(0,1)", "Add(0,1) ->", "Add(0,1) -> 0", "Add(0,2) -> 2", "Add(0,-1) -> 2",
        "Add(0 -> 2", "Add[x](0,1) -> 2", "Add[x=q:1](0,1) -> 2", "Cast[dtype=t:f33](0) -> 2",
        "Add(0,1) -> 2 3", "Squeeze[axes=l:1.](0) -> 2 3", "Add(0,99999999999) -> 2", "(0,1) -> 2",
        "Add(0,1)) -> 2"}) {
    EXPECT_THAT([&] { parse_chain(text, 2); }, ThrowsMessage<Error>(HasSubstr("chain '"))) << text;
  }
  // What it means is checked when a node is made of it.
  Graph graph(core_op_table());
  const Value x = batch(graph);
  for (const char* text : {"MatMul(0,0) -> 1", "Relu(0,0) -> 1", "NoSuchOp(0) -> 1"}) {
    EXPECT_THROW(graph.add("FusedElementwise", {x}, {{"chain", std::string(text)}}), Error) << text;
  }
}

}  // namespace
}  // namespace trireme
