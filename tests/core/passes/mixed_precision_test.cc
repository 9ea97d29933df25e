// Which op is computed in which type, and that no value is cast twice.
#include "core/passes/mixed_precision.h"

#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/passes/prune.h"
#include "core/passes/simplify_casts.h"
#include "tests/core/passes/run_program.h"

namespace trireme {
namespace {

using testing::compare;
using testing::count;
using testing::make_program;

constexpr DType kF32 = DType::kFloat32;

Value variable(Graph& graph, const std::string& name, const Shape& shape) {
  return ops::variable(graph, name, kF32, shape);
}
Value images(Graph& graph) { return ops::placeholder(graph, "x", kF32, {-1, 8, 8, 2}); }
Value rows(Graph& graph) { return ops::placeholder(graph, "x", kF32, {-1, 4}); }

// The program whose fetches are rebuilt in `small`, without what nobody needs any more.
Program mixed(const testing::Build& build, DType small = DType::kBFloat16) {
  Program program = make_program([&](Graph& graph, Program& p) {
    build(graph, p);
    MixedPrecision precision(p.fetches, small);
    for (Value& fetch : p.fetches) fetch = precision(fetch);
  });
  verify(*program.graph);
  return prune(std::move(program));
}

// The type of output 0 of the only node of `op`.
DType type_of(const Program& program, std::string_view op) {
  EXPECT_EQ(count(program, op), 1) << op;
  for (const auto& node : program.graph->nodes()) {
    if (node->op().name == op) return node->output_type().dtype;
  }
  return DType::kString;
}

int casts_of(const Program& program, std::string_view input_op) {
  int casts = 0;
  for (const auto& node : program.graph->nodes()) {
    casts += node->op().name == "Cast" && node->input(0).node->op().name == input_op;
  }
  return casts;
}

class MixedPrecisionTest : public ::testing::TestWithParam<DType> {};

TEST_P(MixedPrecisionTest, ProductsAndWhatFollowsThemAreSmallUpToTheLast) {
  const auto build = [](Graph& g, Program& p) {
    Value y = ops::conv2d(images(g), variable(g, "filter", {3, 3, 2, 4}));
    y = ops::relu(ops::bias_add(y, variable(g, "bias", {4})));
    y = ops::flatten(ops::max_pool2d(y));
    y = ops::matmul(y, variable(g, "kernel", {36, 3}));
    p.fetches = {ops::softmax(ops::negate(y))};
  };
  const DType small = GetParam();
  const Program program = mixed(build, small);
  for (const char* op : {"Conv2d", "BiasAdd", "Relu", "MaxPool2d", "Flatten", "MatMul"}) {
    EXPECT_EQ(type_of(program, op), small) << op;
  }
  for (const char* op : {"Negate", "Softmax"}) EXPECT_EQ(type_of(program, op), kF32) << op;
  EXPECT_EQ(casts_of(program, "Variable"), 3);
  EXPECT_EQ(casts_of(program, "Placeholder"), 1);
  EXPECT_EQ(count(program, "Cast"), 5);  // and the product's result
  EXPECT_EQ(compare(program, make_program(build), 2e-2), "");
}

INSTANTIATE_TEST_SUITE_P(Types, MixedPrecisionTest,
                         ::testing::Values(DType::kBFloat16, DType::kFloat16));

TEST(MixedPrecisionRulesTest, AVariableIsCastOnceHoweverManyUseIt) {
  const Program program = mixed([](Graph& g, Program& p) {
    const Value w = variable(g, "w", {4, 4}), x = rows(g);
    const Value y = ops::matmul(ops::relu(ops::matmul(x, w)), w);
    const Value loss = ops::mean(ops::matmul(y, w));
    p.fetches = {loss};
  });
  EXPECT_EQ(casts_of(program, "Variable"), 1);
  EXPECT_EQ(casts_of(program, "Placeholder"), 1);
}

TEST(MixedPrecisionRulesTest, ASmallAndAComputedWideValueAreAddedWide) {
  const Program program = mixed([](Graph& g, Program& p) {
    const Value w = variable(g, "w", {4, 4}), x = rows(g);
    const Value y = ops::matmul(x, w) + ops::exp(x);
    p.fetches = {ops::matmul(y, w)};
  });
  EXPECT_EQ(type_of(program, "Add"), kF32);
  EXPECT_EQ(type_of(program, "Exp"), kF32);
  // Nothing that is there in f32 is made anew: exp reads the placeholder itself.
  EXPECT_EQ(casts_of(program, "Placeholder"), 1);
}

TEST(MixedPrecisionRulesTest, ResidualsAndConstantsStaySmall) {
  const Program program = mixed([](Graph& g, Program& p) {
    const Value w = variable(g, "w", {4, 4});
    const Value y = ops::matmul(rows(g), w);
    const Value z = ops::matmul(ops::relu(y), w) + y;
    p.fetches = {ops::matmul(z * ops::scalar(g, kF32, 0.5), w)};
  });
  EXPECT_EQ(type_of(program, "Add"), DType::kBFloat16);
  EXPECT_EQ(type_of(program, "Multiply"), DType::kBFloat16);
}

TEST(MixedPrecisionRulesTest, BatchNormKeepsItsStatisticsWide) {
  const auto build = [](Graph& g, Program& p) {
    const Value w = variable(g, "w", {3, 3, 2, 2});
    const auto norm = ops::batch_norm(ops::conv2d(images(g), w), variable(g, "scale", {2}),
                                      variable(g, "offset", {2}), 1e-3);
    p.fetches = {ops::conv2d(norm.y, w), norm.mean, norm.variance};
  };
  const Program program = mixed(build);
  EXPECT_EQ(type_of(program, "BatchNorm"), DType::kBFloat16);
  EXPECT_EQ(casts_of(program, "Variable"), 1);  // the filter
  EXPECT_EQ(program.fetches[1].node->op().name, "BatchNorm");
  EXPECT_EQ(compare(program, make_program(build), 5e-2), "");
}

// Gradients follow the types by themselves; those of variables are f32, straight from the f32 sums.
TEST(MixedPrecisionRulesTest, GradientsOfVariablesAreWideAndNotRounded) {
  Program program = make_program([](Graph& g, Program& p) {
    const Value w1 = variable(g, "w1", {4, 5}), w2 = variable(g, "w2", {5, 4});
    Value loss = ops::mean(ops::matmul(ops::relu(ops::matmul(rows(g), w1)), w2));
    loss = MixedPrecision({loss}, DType::kBFloat16)(loss);
    const std::vector<Value> wrt = {w1, w2};
    p.fetches = {loss};
    for (const Gradient& gradient : gradients(loss, wrt)) p.fetches.push_back(gradient.values);
  });
  for (const Value& fetch : program.fetches) EXPECT_EQ(fetch.dtype(), kF32);
  program = prune(std::move(program));
  EXPECT_EQ(casts_of(program, "Variable"), 2);
  const auto all = [](std::string_view, DType) { return true; };
  const Program simple = simplify_casts(std::move(program), all);
  verify(*simple.graph);
  EXPECT_EQ(simple.fetches[1].node->op().name, "WideMatMul");
  EXPECT_EQ(simple.fetches[2].node->op().name, "WideMatMul");
}

TEST(SimplifyCastsTest, ACastThereAndBackVanishes) {
  const auto build = [](Graph& g, Program& p) {
    const Value x = ops::cast(rows(g), DType::kBFloat16);
    const Value back = ops::cast(ops::cast(x, kF32), DType::kBFloat16);
    p.fetches = {ops::negate(back)};
  };
  const Program program = prune(simplify_casts(make_program(build), nullptr));
  EXPECT_EQ(count(program, "Cast"), 1);
  EXPECT_EQ(compare(program, make_program(build)), "");
}

// f32 → bf16 → f32 rounds: it must stay.
TEST(SimplifyCastsTest, ACastThatRoundsStays) {
  const auto build = [](Graph& g, Program& p) {
    p.fetches = {ops::negate(ops::cast(ops::cast(rows(g), DType::kBFloat16), kF32))};
  };
  EXPECT_EQ(count(simplify_casts(make_program(build), nullptr), "Cast"), 2);
}

TEST(SimplifyCastsTest, NoOpIsUsedThatADeviceHasNot) {
  const auto build = [](Graph& g, Program& p) {
    const Value x = ops::cast(rows(g), DType::kBFloat16);
    p.fetches = {ops::cast(ops::matmul(x, x, true, false), kF32)};
  };
  const auto none = [](std::string_view, DType) { return false; };
  EXPECT_EQ(count(simplify_casts(make_program(build), none), "WideMatMul"), 0);
  const auto all = [](std::string_view, DType) { return true; };
  const Program wide = simplify_casts(make_program(build), all);
  EXPECT_EQ(count(wide, "WideMatMul"), 1);
  EXPECT_EQ(compare(wide, make_program(build), 1e-2), "");
}

}  // namespace
}  // namespace trireme
