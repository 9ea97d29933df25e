// Passes that leave the ops as they are: prune, constant folding, common subexpressions.
#include <gmock/gmock.h>

#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/passes/common_subexpressions.h"
#include "core/passes/fold_constants.h"
#include "core/passes/prune.h"
#include "tests/core/passes/run_program.h"

namespace trireme {
namespace {

using testing::Build;
using testing::compare;
using testing::count;
using testing::make_program;

constexpr size_t kAnySize = size_t{1} << 30;

void expect_same(const Program& actual, const Build& build) {
  verify(*actual.graph);
  EXPECT_EQ(compare(actual, make_program(build)), "");
}

Value vector(Graph& graph, const std::string& name) {
  return ops::placeholder(graph, name, DType::kFloat32, {4});
}

TEST(PruneTest, DropsWhatNoOneNeeds) {
  const Build build = [](Graph& g, Program& p) {
    Value x = vector(g, "x");
    ops::tanh(x);
    ops::variable(g, "unused", DType::kFloat32, {4});
    p.fetches = {ops::relu(x)};
  };
  const Program pruned = prune(make_program(build));
  EXPECT_EQ(pruned.graph->size(), 2);
  EXPECT_EQ(pruned.fetches[0].node->name(), "relu");
  expect_same(pruned, build);
}

TEST(PruneTest, KeepsFeedsTargetsAndControlInputs) {
  const Build build = [](Graph& g, Program& p) {
    Value x = vector(g, "x"), v = ops::variable(g, "v", DType::kFloat32, {4});
    p.feeds = {vector(g, "not_used"), x};
    Value y = ops::relu(x);
    y.node->add_control_input(ops::tanh(x).node);
    p.fetches = {y};
    p.targets = {&ops::assign_add(v, x)};
  };
  const Program pruned = prune(make_program(build));
  EXPECT_EQ(pruned.graph->size(), make_program(build).graph->size());
  EXPECT_EQ(pruned.feeds[0].node->name(), "not_used");
  EXPECT_EQ(pruned.targets[0]->op().name, "AssignAdd");
  EXPECT_EQ(pruned.fetches[0].node->control_inputs().size(), 1u);
  expect_same(pruned, build);
}

TEST(FoldConstantsTest, ComputesWhatIsKnown) {
  const Build build = [](Graph& g, Program& p) {
    Value a = ops::constant(g, Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
    Value b = ops::reshape(ops::matmul(a, a) + a, {4});  // through a view
    p.fetches = {vector(g, "x") * b, ops::sum(b)};
  };
  const Program folded =
      prune(fold_constants(make_program(build), testing::test_kernels(), kAnySize));
  EXPECT_EQ(folded.graph->size(), 4);  // x, two constants, the product
  EXPECT_EQ(count(folded, "Constant"), 2);
  EXPECT_EQ(folded.fetches[1].node->attribute<Tensor>("value").item<float>(), 64);
  expect_same(folded, build);
}

TEST(FoldConstantsTest, EveryOutputOfANodeIsFolded) {
  const Build build = [](Graph& g, Program& p) {
    Value x = ops::constant(g, Tensor::from<float>({3, 1}, {1, 2, 6}));
    Value one = ops::constant(g, Tensor::from<float>({1}, {1}));
    const auto norm = ops::batch_norm(x, one, one, 0.01);
    p.fetches = {norm.y, norm.mean, norm.variance};
  };
  const Program folded =
      prune(fold_constants(make_program(build), testing::test_kernels(), kAnySize));
  EXPECT_EQ(count(folded, "Constant"), 3);
  EXPECT_EQ(folded.graph->size(), 3);
  expect_same(folded, build);
}

TEST(FoldConstantsTest, LeavesWhatIsLargeFedPinnedInTimeOrChanges) {
  const Build build = [](Graph& g, Program& p) {
    Value a = ops::constant(g, Tensor::from<float>({4}, {1, 2, 3, 4}));
    Value fed = ops::tanh(a);
    Value waits = ops::sigmoid(a);
    waits.node->add_control_input(vector(g, "x").node);
    Value v = ops::variable(g, "v", DType::kFloat32, {4});
    p.feeds = {fed};
    p.fetches = {ops::relu(fed), waits, a + v};
    p.targets = {&ops::assign(v, a)};
  };
  const Program folded =
      prune(fold_constants(make_program(build), testing::test_kernels(), kAnySize));
  for (const char* op : {"Tanh", "Relu", "Sigmoid", "Add", "Assign"})
    EXPECT_EQ(count(folded, op), 1) << op;
  expect_same(folded, build);

  const Build large = [](Graph& g, Program& p) {
    p.fetches = {ops::relu(ops::constant(g, Tensor::from<float>({4}, {1, 2, 3, 4})))};
  };
  EXPECT_EQ(count(fold_constants(make_program(large), testing::test_kernels(), 15), "Relu"), 1);
  EXPECT_EQ(count(fold_constants(make_program(large), testing::test_kernels(), 16), "Relu"), 0);
}

TEST(CommonSubexpressionsTest, MergesEqualNodes) {
  const Build build = [](Graph& g, Program& p) {
    Value x = vector(g, "x"), y = vector(g, "y");
    Value v = ops::variable(g, "v", DType::kFloat32, {4});
    Value a = ops::relu(x + y), b = ops::relu(y + x);  // Add is commutative
    p.fetches = {a * b, ops::tanh(v) + ops::tanh(v), x - y, y - x};
    p.targets = {&ops::assign_add(v, a)};
  };
  const Program merged = merge_common_subexpressions(make_program(build));
  EXPECT_EQ(count(merged, "Add"), 2);
  EXPECT_EQ(count(merged, "Relu"), 1);
  EXPECT_EQ(count(merged, "Tanh"), 1);
  EXPECT_EQ(count(merged, "Subtract"), 2);
  expect_same(merged, build);
}

TEST(CommonSubexpressionsTest, ConstantsAreComparedBitByBit) {
  const Build build = [](Graph& g, Program& p) {
    const auto scalar = [&](float value) { return ops::constant(g, Tensor::scalar(value)); };
    p.fetches = {scalar(0.1f),
                 scalar(0.1f),
                 scalar(std::nextafter(0.1f, 1.0f)),
                 scalar(0.0f),
                 scalar(-0.0f),
                 ops::fill_like(vector(g, "x"), 1e-7),
                 ops::fill_like(g.find("x")->output(), 1.00000001e-7)};
  };
  const Program merged = merge_common_subexpressions(make_program(build));
  EXPECT_EQ(count(merged, "Constant"), 4);
  EXPECT_EQ(count(merged, "FillLike"), 2);
  EXPECT_EQ(merged.fetches[0], merged.fetches[1]);
  expect_same(merged, build);
}

TEST(CommonSubexpressionsTest, KeepsApartWhatIsNotTheSame) {
  const Build build = [](Graph& g, Program& p) {
    Value x = vector(g, "x"), y = vector(g, "y");
    Value far = ops::relu(x), waits = ops::relu(x);
    far.node->set_device("/device:CPU:1");
    waits.node->add_control_input(y.node);
    Value v = ops::variable(g, "v", DType::kFloat32, {4}),
          w = ops::variable(g, "w", DType::kFloat32, {4});
    p.fetches = {ops::relu(x), far, waits, ops::sum(x, {0}, true), ops::sum(x, {0}, false)};
    p.targets = {&ops::assign_add(v, x), &ops::assign_add(w, x)};
  };
  const Program merged = merge_common_subexpressions(make_program(build));
  EXPECT_EQ(merged.graph->size(), make_program(build).graph->size());
  expect_same(merged, build);
}

}  // namespace
}  // namespace trireme
