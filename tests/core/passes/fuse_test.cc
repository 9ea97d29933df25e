#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/passes/fuse_bias_activation.h"
#include "core/passes/fuse_gradient_update.h"
#include "core/passes/optimize.h"
#include "tests/core/passes/run_program.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using testing::Build;
using testing::compare;
using testing::count;
using testing::make_program;

Value variable(Graph& graph, const std::string& name, const Shape& shape) {
  return ops::variable(graph, name, DType::kFloat32, shape);
}
Value batch(Graph& graph) { return ops::placeholder(graph, "x", DType::kFloat32, {-1, 4}); }

// The program after fusion does the same as before, on the reference kernels and on the CPU's.
void expect_same(const Program& actual, const Build& build) {
  verify(*actual.graph);
  for (const char* kind : {"reference", "cpu"}) {
    EXPECT_EQ(compare(actual, make_program(build), 1e-5, kind), "") << kind;
  }
}

Program fuse(const Build& build) { return fuse_bias_activation(make_program(build)); }

TEST(FuseBiasActivationTest, EveryActivationOfAMatrixProduct) {
  for (const char* name : {"relu", "sigmoid", "tanh", "none"}) {
    const std::string activation = name;
    const Build build = [&](Graph& g, Program& p) {
      Value y = ops::matmul(batch(g), variable(g, "w", {2, 4}), false, true);
      y = ops::bias_add(y, variable(g, "b", {2}));
      if (activation == "relu") y = ops::relu(y);
      if (activation == "sigmoid") y = ops::sigmoid(y);
      if (activation == "tanh") y = ops::tanh(y);
      p.fetches = {y};
    };
    const Program fused = fuse(build);
    EXPECT_EQ(fused.graph->size(), 4) << name;
    EXPECT_EQ(fused.fetches[0].node->op().name, "FusedMatMul");
    EXPECT_EQ(fused.fetches[0].node->attribute<std::string>("activation"), name);
    EXPECT_EQ(fused.fetches[0].node->name(), make_program(build).fetches[0].node->name());
    expect_same(fused, build);
  }
}

TEST(FuseBiasActivationTest, ConvolutionKeepsItsAttributes) {
  const Build build = [](Graph& g, Program& p) {
    Value x = ops::placeholder(g, "x", DType::kFloat32, {-1, 6, 6, 2});
    Value y = ops::conv2d(x, variable(g, "w", {3, 3, 2, 4}),
                          {.stride_h = 2, .padding = ops::Padding::kSame});
    p.fetches = {ops::relu(ops::bias_add(y, variable(g, "b", {4})))};
  };
  const Program fused = fuse(build);
  EXPECT_EQ(fused.fetches[0].node->op().name, "FusedConv2d");
  expect_same(fused, build);
}

TEST(FuseBiasActivationTest, AnAddOfAVectorIsABiasOnEitherSide) {
  for (bool left : {false, true}) {
    const Build build = [&](Graph& g, Program& p) {
      Value y = ops::matmul(batch(g), variable(g, "w", {4, 2})), b = variable(g, "b", {2});
      p.fetches = {ops::tanh(left ? b + y : y + b)};
    };
    EXPECT_EQ(count(fuse(build), "FusedMatMul"), 1);
    expect_same(fuse(build), build);
  }
}

TEST(FuseBiasActivationTest, AnAddThatBroadcastsTheProductIsNone) {
  const Build build = [](Graph& g, Program& p) {
    p.fetches = {
        ops::matmul(batch(g), variable(g, "w", {4, 1})) + variable(g, "b", {5}),
        ops::matmul(g.find("x")->output(), variable(g, "w2", {4, 5})) + variable(g, "c", {3, 5})};
  };
  EXPECT_EQ(count(fuse(build), "MatMul"), 2);
  expect_same(fuse(build), build);
}

TEST(FuseBiasActivationTest, ValuesInBetweenThatOthersSeeStay) {
  const std::vector<std::function<void(Program&, Value, Value, Value)>> uses = {
      [](Program& p, Value product, Value, Value) { p.fetches.push_back(product); },
      [](Program& p, Value product, Value, Value) { p.fetches.push_back(ops::square(product)); },
      [](Program& p, Value product, Value, Value) { p.targets.push_back(product.node); },
      [](Program&, Value product, Value, Value y) { y.node->add_control_input(product.node); },
      [](Program&, Value product, Value sum, Value) {
        sum.node->set_device("/device:CPU:1");
        (void)product;
      },
  };
  for (const auto& use : uses) {
    const Build build = [&](Graph& g, Program& p) {
      Value product = ops::matmul(batch(g), variable(g, "w", {4, 2}));
      Value sum = ops::bias_add(product, variable(g, "b", {2})), y = ops::relu(sum);
      p.fetches = {y};
      use(p, product, sum, y);
    };
    EXPECT_EQ(count(fuse(build), "MatMul"), 1) << &use - uses.data();
    expect_same(fuse(build), build);
  }
  // The sum is fetched: bias and product still fuse, the activation stays apart.
  const Build build = [](Graph& g, Program& p) {
    Value sum =
        ops::bias_add(ops::matmul(batch(g), variable(g, "w", {4, 2})), variable(g, "b", {2}));
    p.fetches = {sum, ops::relu(sum)};
  };
  EXPECT_EQ(count(fuse(build), "FusedMatMul"), 1);
  EXPECT_EQ(count(fuse(build), "Relu"), 1);
  expect_same(fuse(build), build);
}

// Fused, the product would wait for the new bias, which waits for the update of the product's own
// weight.
TEST(FuseBiasActivationTest, ABiasThatWaitsForAnUpdateStays) {
  const Build build = [](Graph& g, Program& p) {
    Value w = variable(g, "w", {4, 2});
    Value product = ops::matmul(batch(g), w);
    Value bias = ops::sum(ops::assign_add(w, ops::fill_like(w, 1)).output(), {0});
    p.fetches = {ops::bias_add(product, bias)};
  };
  EXPECT_EQ(count(fuse(build), "MatMul"), 1);
  EXPECT_NO_THROW(verify(*fuse(build).graph));
}

// Three layers, their loss and plain gradient descent: the shape of most training graphs.
void mlp(Graph& g, Program& p, const rules::Sgd& options = {}) {
  Value x = batch(g), labels = ops::placeholder(g, "labels", DType::kInt64, {-1});
  std::vector<Value> variables;
  Value y = x;
  const auto dense = [&](const std::string& name, int64_t in, int64_t out) {
    variables.push_back(variable(g, name + "/w", {in, out}));
    variables.push_back(variable(g, name + "/b", {out}));
    return ops::bias_add(ops::matmul(y, variables.end()[-2]), variables.back());
  };
  y = ops::relu(dense("a", 4, 5));
  y = ops::sigmoid(dense("b", 5, 5));
  y = ops::tanh(dense("c", 5, 6));
  Value loss = ops::mean(ops::sparse_softmax_cross_entropy(dense("d", 6, 3), labels));
  const auto grads = gradients(loss, variables);
  Value lr = ops::scalar(g, DType::kFloat32, 0.25);
  for (size_t i = 0; i < variables.size(); ++i) {
    Value velocity = options.momentum == 0 ? Value{}
                                           : variable(g, variables[i].node->name() + "/velocity",
                                                      variables[i].shape());
    p.targets.push_back(&testing::apply_sgd(variables[i], velocity, lr, grads[i].values, options));
  }
  p.feeds = {x, labels};
  p.fetches = {loss};
}

TEST(FuseBiasActivationTest, WorksAfterDifferentiation) {
  const Build build = [](Graph& g, Program& p) { mlp(g, p); };
  const Program fused = fuse(build);
  EXPECT_EQ(count(fused, "FusedMatMul"), 4);
  for (const char* op : {"BiasAdd", "Relu", "Sigmoid", "Tanh"})
    EXPECT_EQ(count(fused, op), 0) << op;
  expect_same(fused, build);
}

TEST(FuseGradientUpdateTest, ProductsGoStraightIntoTheVariable) {
  const Build build = [](Graph& g, Program& p) { mlp(g, p); };
  const Program fused = fuse_gradient_update(make_program(build));
  EXPECT_EQ(count(fused, "FusedMatMulApplySgd"), 4);
  EXPECT_EQ(count(fused, "ApplySgd"), 4);  // the biases
  EXPECT_EQ(count(fused, "MatMul"), count(make_program(build), "MatMul") - 4);
  expect_same(fused, build);
}

TEST(FuseGradientUpdateTest, EveryTransposition) {
  for (int mask = 0; mask < 4; ++mask) {
    for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
      const bool ta = (mask & 1) != 0, tb = (mask & 2) != 0;
      const Build build = [&](Graph& g, Program& p) {
        Value a = ops::placeholder(g, "a", dtype, ta ? Shape{-1, 5} : Shape{5, -1});
        Value b = ops::placeholder(g, "b", dtype, tb ? Shape{7, -1} : Shape{-1, 7});
        Value w = ops::variable(g, "w", dtype, {5, 7});
        p.targets = {&testing::apply_sgd(w, {}, ops::scalar(g, DType::kFloat32, 0.5),
                                         ops::matmul(a, b, ta, tb), {})};
      };
      const Program fused = fuse_gradient_update(make_program(build));
      EXPECT_EQ(count(fused, "FusedMatMulApplySgd"), 1);
      expect_same(fused, build);
    }
  }
}

TEST(FuseGradientUpdateTest, OtherUpdatesStay) {
  for (const rules::Sgd& options : {rules::Sgd{.momentum = 0.9}, rules::Sgd{.weight_decay = 0.1}}) {
    const Build build = [&](Graph& g, Program& p) { mlp(g, p, options); };
    const Program fused = fuse_gradient_update(make_program(build));
    EXPECT_EQ(count(fused, "FusedMatMulApplySgd"), 0);
    expect_same(fused, build);
  }
}

TEST(FuseGradientUpdateTest, AGradientThatOthersSeeStays) {
  const Build build = [](Graph& g, Program& p) {
    Value x = batch(g), w = variable(g, "w", {4, 4});
    Value gradient = ops::matmul(x, x, true);
    p.targets = {&testing::apply_sgd(w, {}, ops::scalar(g, DType::kFloat32, 0.5), gradient, {})};
    p.fetches = {gradient};
  };
  EXPECT_EQ(count(fuse_gradient_update(make_program(build)), "FusedMatMulApplySgd"), 0);
  expect_same(fuse_gradient_update(make_program(build)), build);
}

// The gradient of each weight of w1·w2 is a product with the other: fused, each update would read a
// variable that the other must not have changed yet, and both would wait for ever; or a variable
// would be read while it is written.
TEST(FuseGradientUpdateTest, AProductWithAVariableStays) {
  const Build build = [](Graph& g, Program& p) {
    Value w1 = variable(g, "w1", {3, 3}), w2 = variable(g, "w2", {3, 3}),
          w3 = variable(g, "w3", {3, 3});
    Value loss = ops::sum(ops::square(ops::matmul(w1, w2)));
    const std::vector<Value> variables = {w1, w2};
    const auto grads = gradients(loss, variables);
    Value lr = ops::scalar(g, DType::kFloat32, 0.5);
    p.targets = {
        &testing::apply_sgd(w1, {}, lr, grads[0].values, {}),
        &testing::apply_sgd(w2, {}, lr, grads[1].values, {}),
        &testing::apply_sgd(w3, {}, lr, ops::matmul(ops::identity(w3), ops::square(w3)), {})};
  };
  const Program fused = fuse_gradient_update(make_program(build));
  EXPECT_EQ(count(fused, "FusedMatMulApplySgd"), 0);
  expect_same(fused, build);
}

TEST(OptimizeTest, EachPassCanBeSwitchedOff) {
  const Build build = [](Graph& g, Program& p) { mlp(g, p); };
  PassOptions options{.kernels = &testing::test_kernels(), .verify = true};
  const Program all = optimize(make_program(build), options);
  EXPECT_EQ(count(all, "FusedMatMul"), 4);
  EXPECT_EQ(count(all, "FusedMatMulApplySgd"), 4);
  expect_same(all, build);

  options.fuse_bias_activation = false;
  EXPECT_EQ(count(optimize(make_program(build), options), "FusedMatMul"), 0);
  options.fuse_gradient_update = false;
  EXPECT_EQ(count(optimize(make_program(build), options), "FusedMatMulApplySgd"), 0);
  options.prune = options.fold_constants = options.merge_common_subexpressions = false;
  EXPECT_EQ(optimize(make_program(build), options).graph->size(),
            make_program(build).graph->size());
}

}  // namespace
}  // namespace trireme
