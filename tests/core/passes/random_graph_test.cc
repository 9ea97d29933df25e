// Random small training graphs do the same before and after the whole pipeline.
#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/graph/print.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/passes/optimize.h"
#include "tests/core/passes/run_program.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

// Values of f64: matrices [?, 4] (the batch), [4, 4] and vectors [4], so that most ops fit most
// values.
class RandomGraph {
 public:
  RandomGraph(Graph& graph, Program& program, uint64_t seed)
      : graph_(graph), program_(program), random_(seed) {}

  void build() {
    Value x = ops::placeholder(graph_, "x", DType::kFloat64, {-1, 4});
    batches_ = {x};
    program_.feeds = {x};
    for (int i = 0; i < 3; ++i) {
      squares_.push_back(ops::variable(graph_, str_cat("w", i), DType::kFloat64, {4, 4}));
      vectors_.push_back(ops::variable(graph_, str_cat("b", i), DType::kFloat64, {4}));
    }
    const std::vector<Value> variables = {squares_[0], squares_[1], squares_[2],
                                          vectors_[0], vectors_[1], vectors_[2]};
    squares_.push_back(constant({4, 4}));
    vectors_.push_back(constant({4}));
    for (uint64_t steps = 5 + below(20); steps > 0; --steps) grow();
    Value loss = ops::mean(ops::square(batches_.back()));
    program_.fetches = {loss, fetchable(batches_), fetchable(squares_), fetchable(vectors_), loss};
    update(loss, variables);
  }

 private:
  uint64_t below(uint64_t n) { return random_.below(n); }
  Value& any(std::vector<Value>& from) { return from[below(from.size())]; }

  // The interpreter hands out the memory of what is fetched; a variable's changes with its update.
  Value fetchable(std::vector<Value>& from) {
    const Value value = any(from);
    return variable_behind(value) == nullptr ? value : ops::negate(value);
  }

  Value constant(const Shape& shape) {
    return ops::constant(graph_, testing::random_tensor(DType::kFloat64, shape, -1, 1, below(3)));
  }

  Value unary(Value x) {
    switch (below(6)) {
      case 0:
        return ops::relu(x);
      case 1:
        return ops::sigmoid(x);
      case 2:
        return ops::tanh(x);
      case 3:
        return ops::identity(x);
      case 4:
        return ops::negate(x);
      default:
        return ops::fill_like(x, 0.5);
    }
  }

  Value binary(Value a, Value b) {
    switch (below(3)) {
      case 0:
        return a + b;
      case 1:
        return a - b;
      default:
        return ops::tanh(a) * b;
    }
  }

  void grow() {
    std::vector<Value>* to = &batches_;
    Value y;
    switch (below(10)) {
      case 0:
        y = unary(any(batches_));
        break;
      case 1:
        y = binary(any(batches_), any(batches_));
        break;
      case 2:
        y = binary(any(batches_), any(vectors_));
        break;
      case 3:
      case 4:
        y = ops::matmul(any(batches_), any(squares_), false, below(2) == 0);
        break;
      case 5:
        y = dense();
        break;
      case 6:
        y = unary(any(squares_)), to = &squares_;
        break;
      case 7:
        y = ops::matmul(any(squares_), any(squares_), below(2) == 0, below(2) == 0), to = &squares_;
        break;
      case 8:
        y = unary(any(vectors_)), to = &vectors_;
        break;
      default:
        y = ops::sum(any(squares_), {static_cast<int64_t>(below(2))}), to = &vectors_;
        break;
    }
    if (below(8) == 0) y.node->set_device("/device:CPU:1");
    if (below(8) == 0 && any(batches_).node != y.node) {
      Node* before = any(batches_).node;
      if (before->id() < y.node->id()) y.node->add_control_input(before);
    }
    to->push_back(y);
  }

  Value dense() {
    Value y = ops::matmul(any(batches_), any(squares_));
    y = below(2) == 0 ? ops::bias_add(y, any(vectors_)) : y + any(vectors_);
    return unary(y);
  }

  // Updates come last, as they do in every training graph: the interpreter runs nodes in their
  // order.
  void update(Value loss, const std::vector<Value>& variables) {
    const auto grads = gradients(loss, variables);
    Value lr = ops::scalar(graph_, DType::kFloat32, 0.125);
    std::vector<std::pair<Value, Value>> updates;
    for (size_t i = 0; i < variables.size(); ++i) {
      if (grads[i].defined() && below(4) != 0) updates.emplace_back(variables[i], grads[i].values);
    }
    for (const auto& [variable, gradient] : updates) {
      program_.targets.push_back(&testing::apply_sgd(variable, {}, lr, gradient,
                                                     {.weight_decay = below(4) == 0 ? 0.5 : 0.0}));
    }
  }

  Graph& graph_;
  Program& program_;
  PhiloxGenerator random_;
  std::vector<Value> batches_, squares_, vectors_;
};

TEST(RandomGraphTest, ThePipelineKeepsResults) {
  int fused_products = 0, fused_updates = 0, groups = 0, chains = 0, copies = 0, before = 0,
      after = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const testing::Build build = [&](Graph& graph, Program& program) {
      RandomGraph(graph, program, seed).build();
    };
    PhiloxGenerator choice(seed, 1);
    const auto on = [&] { return choice.below(4) != 0; };
    const PassOptions options{.prune = on(),
                              .fold_constants = on(),
                              .merge_common_subexpressions = on(),
                              .fuse_bias_activation = on(),
                              .fuse_gradient_update = on(),
                              .group_updates = on(),
                              .fuse_elementwise = on(),
                              .kernels = &testing::test_kernels(),
                              .max_folded_bytes = choice.below(2) == 0 ? 64u : 4096u,
                              .placement = {{"/device:CPU:0", "/device:CPU:1"}, ""},
                              .chain_devices = {"/device:CPU:0", "/device:CPU:1"},
                              .verify = true};
    const Program plain = testing::make_program(build);
    const Program optimized = optimize(testing::make_program(build), options);
    ASSERT_EQ(testing::compare(optimized, plain, 1e-9), "") << "seed " << seed << "\n"
                                                            << to_text(*plain.graph) << "\n"
                                                            << to_text(*optimized.graph);
    fused_products += testing::count(optimized, "FusedMatMul");
    fused_updates += testing::count(optimized, "FusedMatMulApplySgd");
    groups += testing::count(optimized, "GroupedUpdate");
    chains += testing::count(optimized, "FusedElementwise");
    copies += testing::count(optimized, "Copy");
    before += plain.graph->size();
    after += optimized.graph->size() - testing::count(optimized, "Copy");
  }
  // Every kind of rewrite has happened, so the comparison above meant something.
  EXPECT_GT(fused_products, 100);
  EXPECT_GT(fused_updates, 100);
  EXPECT_GT(groups, 20);
  EXPECT_GT(chains, 100);
  EXPECT_GT(copies, 100);
  EXPECT_LT(after, before);
}

}  // namespace
}  // namespace trireme
