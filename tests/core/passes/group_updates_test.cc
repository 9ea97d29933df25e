#include "core/passes/group_updates.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/passes/optimize.h"
#include "tests/core/passes/run_program.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using testing::Build;
using testing::compare;
using testing::count;
using testing::make_program;

Value variable(Graph& graph, const std::string& name, const Shape& shape = {3, 4}) {
  return ops::variable(graph, name, DType::kFloat32, shape);
}
Value given(Graph& graph, const std::string& name, const Shape& shape = {3, 4},
            DType dtype = DType::kFloat32) {
  return ops::placeholder(graph, name, dtype, shape);
}
Value rate(Graph& graph) { return given(graph, "lr", {}); }

// These programs are not placed.
Program group(const Build& build) { return group_updates(make_program(build), {""}); }

// Grouped, the program does what it did before, bit for bit.
void expect_same(const Program& grouped, const Build& build) {
  verify(*grouped.graph);
  EXPECT_EQ(compare(grouped, make_program(build), 0), "");
  EXPECT_EQ(compare(grouped, make_program(build), 1e-6, "cpu"), "");
}

const Node& only_group(const Program& program) {
  for (const auto& node : program.graph->nodes()) {
    if (node->op().name == "GroupedUpdate") return *node;
  }
  throw std::logic_error("there is no group");
}

Build momentum(int variables) {
  return [variables](Graph& g, Program& p) {
    const Value lr = rate(g), x = given(g, "x");
    for (int i = 0; i < variables; ++i) {
      const Value w = variable(g, str_cat("w", i)), v = variable(g, str_cat("v", i));
      p.targets.push_back(&testing::apply_sgd(w, v, lr, x * w, {.momentum = 0.9}));
    }
  };
}

TEST(GroupUpdatesTest, VariablesWithSlotsShareOneNode) {
  const Program grouped = group(momentum(5));
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  EXPECT_EQ(count(grouped, "ApplyMomentum"), 0);
  EXPECT_EQ(mutated_inputs(only_group(grouped)).size(), 10u);
  expect_same(grouped, momentum(5));
}

TEST(GroupUpdatesTest, OneAloneStaysAsItIs) {
  EXPECT_EQ(count(group(momentum(1)), "GroupedUpdate"), 0);
}

TEST(GroupUpdatesTest, OtherDevicesStayAsTheyAre) {
  EXPECT_EQ(count(group_updates(make_program(momentum(5)), {"/device:GPU:0"}), "GroupedUpdate"), 0);
}

TEST(GroupUpdatesTest, WhatDiffersIsApart) {
  const Build build = [](Graph& g, Program& p) {
    const Value lr = rate(g), x = given(g, "x");
    for (int i = 0; i < 8; ++i) {
      const Value w = variable(g, str_cat("w", i));
      // Two rules, two rates, two guards.
      const Value own_lr = (i & 2) != 0 ? ops::negate(lr) : lr;
      Value guard;
      if ((i & 4) != 0) guard = ops::greater_equal(lr, ops::scalar(g, DType::kFloat32, 0));
      p.targets.push_back(
          &testing::apply_sgd(w, {}, own_lr, x, {.weight_decay = (i & 1) != 0 ? 0.1 : 0.0}, guard));
    }
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 0);
  EXPECT_EQ(count(grouped, "ApplySgd") + count(grouped, "ApplySgdIf"), 8);
}

TEST(GroupUpdatesTest, GuardsGoAlong) {
  const Build build = [](Graph& g, Program& p) {
    const Value lr = rate(g), x = given(g, "x");
    const Value guard = ops::greater_equal(lr, ops::scalar(g, DType::kFloat32, 0));
    for (int i = 0; i < 3; ++i) {
      p.targets.push_back(&testing::apply_sgd(variable(g, str_cat("w", i)), {}, lr, x, {}, guard));
    }
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  expect_same(grouped, build);
}

// A new value that is fetched is the group's output; one that another node uses is needed sooner.
TEST(GroupUpdatesTest, NewValuesAreStillSeen) {
  const Build build = [](Graph& g, Program& p) {
    const Value x = given(g, "x");
    for (int i = 0; i < 3; ++i) {
      Node& assign = ops::assign_add(variable(g, str_cat("w", i)), x);
      p.fetches.push_back(assign.output());
      p.targets.push_back(&assign);
    }
    Node& used = ops::assign_add(variable(g, "used"), x);
    p.fetches.push_back(ops::negate(used.output()));
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  EXPECT_EQ(count(grouped, "AssignAdd"), 1);
  expect_same(grouped, build);
}

// `a` gets the old `b`, `b` something else: in one group they would race.
TEST(GroupUpdatesTest, AVariableIsReadBeforeItChanges) {
  const Build build = [](Graph& g, Program& p) {
    const Value a = variable(g, "a"), b = variable(g, "b"), c = variable(g, "c");
    const Value x = given(g, "x");
    p.targets = {&ops::assign(a, b), &ops::assign(b, x), &ops::assign(c, x)};
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  EXPECT_EQ(count(grouped, "Assign"), 1);
  expect_same(grouped, build);
}

// The rate is a variable that another group would change.
TEST(GroupUpdatesTest, WhatUpdatesShareChangesAfterThem) {
  const Build build = [](Graph& g, Program& p) {
    const Value lr = variable(g, "lr", {}), x = given(g, "x");
    for (int i = 0; i < 2; ++i) {
      p.targets.push_back(&testing::apply_sgd(variable(g, str_cat("w", i)), {}, lr, x, {}));
    }
    p.targets.push_back(&ops::assign(lr, given(g, "new_lr", {})));
    p.targets.push_back(&ops::assign(variable(g, "other", {}), given(g, "new_other", {})));
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  EXPECT_EQ(count(grouped, "Assign"), 2);
  expect_same(grouped, build);
}

TEST(GroupUpdatesTest, TheCastOfAGradientGoesIntoTheGroup) {
  const Build build = [](Graph& g, Program& p) {
    const Value lr = rate(g), x = given(g, "x", {3, 4}, DType::kBFloat16);
    const Value shared = ops::cast(x, DType::kFloat32);
    for (int i = 0; i < 3; ++i) {
      const Value small = ops::cast(ops::negate(x), DType::kFloat32);
      p.targets.push_back(&testing::apply_sgd(variable(g, str_cat("w", i)), {}, lr, small, {}));
    }
    p.targets.push_back(&testing::apply_sgd(variable(g, "last"), {}, lr, shared, {}));
    p.fetches = {shared};
  };
  const Program grouped = group(build);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 1);
  EXPECT_EQ(count(grouped, "Cast"), 1);  // somebody else wants it, too
  expect_same(grouped, build);
}

TEST(GroupUpdatesTest, GradientsOfAGroupAreBounded) {
  const Build build = momentum(7);  // 48 bytes each
  const Program grouped = group_updates(make_program(build), {""}, 96);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 3);
  EXPECT_EQ(count(grouped, "ApplyMomentum"), 1);
  expect_same(grouped, build);
}

// What was reduced first is applied while the rest is still on its way.
TEST(GroupUpdatesTest, WhatWaitsForOtherCommunicationIsApart) {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  table->add({.name = "Reduce",
              .min_inputs = 1,
              .max_inputs = 1,
              .infer = [](const InferenceContext& c) { return std::vector{c.input(0)}; },
              .traits = {.is_communication = true}});
  Program program;
  program.graph = std::make_unique<Graph>(table);
  Graph& g = *program.graph;
  const Value lr = rate(g), x = given(g, "x");
  // Two buckets of two gradients, and two gradients that stay at home.
  Value bucket;
  for (int i = 0; i < 6; ++i) {
    if (i % 2 == 0) bucket = i < 4 ? g.add("Reduce", {ops::square(x)}).output() : ops::tanh(x);
    program.targets.push_back(
        &testing::apply_sgd(variable(g, str_cat("w", i)), {}, lr, ops::negate(bucket), {}));
  }
  const Program grouped = group_updates(std::move(program), {""});
  verify(*grouped.graph);
  EXPECT_EQ(count(grouped, "GroupedUpdate"), 3);
  EXPECT_EQ(count(grouped, "ApplySgd"), 0);
}

TEST(GroupUpdatesTest, ThePipelineGroupsWhereChainsAreFused) {
  PassOptions options{
      .kernels = &testing::test_kernels(), .placement = {{"/device:CPU:0"}, ""}, .verify = true};
  EXPECT_EQ(count(optimize(make_program(momentum(4)), options), "GroupedUpdate"), 0);
  options.chain_devices = {"/device:CPU:0"};
  EXPECT_EQ(count(optimize(make_program(momentum(4)), options), "GroupedUpdate"), 1);
  options.group_updates = false;
  EXPECT_EQ(count(optimize(make_program(momentum(4)), options), "GroupedUpdate"), 0);
}

}  // namespace
}  // namespace trireme
