// The ops of update rules against their papers' formulas, written out again here in double
// precision.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/ops/update.h"
#include "core/rules/core_rules.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;

// One number's state; the formula changes it for gradient g at step t.
struct State {
  double w, slots[3];
};
using Formula = std::function<void(State&, double g, int t)>;
constexpr float kLr = 0.05f;

struct Optimizer {
  std::string name;
  int slots;
  UpdateOp op;
  Formula formula;
};

void PrintTo(const Optimizer& optimizer, std::ostream* out) { *out << optimizer.name; }

template <typename Rule>
Optimizer optimizer(const std::string& name, const Rule& rule, Formula formula) {
  return {name, static_cast<int>(rule_slots(rule).size()), update_op(rule), std::move(formula)};
}

// What Adam and what follows from it divide by: √(1 − beta2^t)/(1 − beta1^t) corrects the means.
template <typename Rule>
double adam_rate(const Rule& o, int t) {
  return kLr * std::sqrt(1 - std::pow(o.beta2, t)) / (1 - std::pow(o.beta1, t));
}

template <typename Rule = rules::Adam>
Optimizer adam(const std::string& name, const Rule& o) {
  return optimizer(name, o, [=](State& s, double g, int t) {
    s.w -= kLr * o.weight_decay * s.w;
    s.slots[0] = o.beta1 * s.slots[0] + (1 - o.beta1) * g;
    s.slots[1] = o.beta2 * s.slots[1] + (1 - o.beta2) * g * g;
    s.w -= adam_rate(o, t) * s.slots[0] / (std::sqrt(s.slots[1]) + o.epsilon);
  });
}

Optimizer amsgrad(const std::string& name, const rules::Amsgrad& o) {
  return optimizer(name, o, [=](State& s, double g, int t) {
    s.w -= kLr * o.weight_decay * s.w;
    s.slots[0] = o.beta1 * s.slots[0] + (1 - o.beta1) * g;
    s.slots[1] = o.beta2 * s.slots[1] + (1 - o.beta2) * g * g;
    s.slots[2] = std::max(s.slots[2], s.slots[1]);
    s.w -= adam_rate(o, t) * s.slots[0] / (std::sqrt(s.slots[2]) + o.epsilon);
  });
}

Optimizer adamax(const rules::Adamax& o) {
  return optimizer("adamax", o, [=](State& s, double g, int t) {
    s.w -= kLr * o.weight_decay * s.w;
    s.slots[0] = o.beta1 * s.slots[0] + (1 - o.beta1) * g;
    s.slots[1] = std::max(o.beta2 * s.slots[1], std::abs(g));
    s.w -= kLr / (1 - std::pow(o.beta1, t)) * s.slots[0] / (s.slots[1] + o.epsilon);
  });
}

Optimizer nadam(const rules::Nadam& o) {
  return optimizer("nadam", o, [=](State& s, double g, int t) {
    const auto momentum = [&](int i) { return o.beta1 * (1 - 0.5 * std::pow(0.96, i)); };
    double product = 1;
    for (int i = 1; i <= t; ++i) product *= momentum(i);
    s.w -= kLr * o.weight_decay * s.w;
    s.slots[0] = o.beta1 * s.slots[0] + (1 - o.beta1) * g;
    s.slots[1] = o.beta2 * s.slots[1] + (1 - o.beta2) * g * g;
    const double mean = momentum(t + 1) * s.slots[0] / (1 - product * momentum(t + 1)) +
                        (1 - momentum(t)) * g / (1 - product);
    s.w -= kLr * mean / (std::sqrt(s.slots[1] / (1 - std::pow(o.beta2, t))) + o.epsilon);
  });
}

Optimizer rmsprop_centered(const std::string& name, const rules::RmsProp& o) {
  return optimizer(name, o, [=](State& s, double g, int) {
    s.w -= kLr * o.weight_decay * s.w;
    s.slots[0] = o.rho * s.slots[0] + (1 - o.rho) * g * g;
    s.slots[1] = o.rho * s.slots[1] + (1 - o.rho) * g;
    const double d = kLr * g / std::sqrt(s.slots[0] - s.slots[1] * s.slots[1] + o.epsilon);
    s.slots[2] = o.momentum * s.slots[2] + d;
    s.w -= o.momentum == 0 ? d : s.slots[2];
  });
}

Optimizer ftrl(const std::string& name, const rules::Ftrl& o) {
  return optimizer(name, o, [=](State& s, double g, int) {
    const auto root = [&](double n) { return std::pow(n, -o.learning_rate_power); };
    s.w -= kLr * o.weight_decay * s.w;
    const double sum = s.slots[0] + g * g;
    s.slots[1] += g + 2 * o.l2_shrinkage * s.w - (root(sum) - root(s.slots[0])) / kLr * s.w;
    s.slots[0] = sum;
    const double clipped = std::min(std::max(s.slots[1], -o.l1), o.l1);
    s.w = (clipped - s.slots[1]) / (root(sum) / kLr + 2 * o.l2 + o.beta / kLr);
  });
}

std::vector<Optimizer> optimizers() {
  return {
      optimizer("sgd", rules::Sgd{.weight_decay = 0.1},
                [](State& s, double g, int) { s.w = s.w - kLr * 0.1 * s.w - kLr * g; }),
      optimizer("momentum", rules::Sgd{.momentum = 0.9},
                [](State& s, double g, int) {
                  s.slots[0] = 0.9 * s.slots[0] - kLr * g;
                  s.w += s.slots[0];
                }),
      optimizer("nesterov", rules::Sgd{.momentum = 0.8, .nesterov = true},
                [](State& s, double g, int) {
                  s.slots[0] = 0.8 * s.slots[0] - kLr * g;
                  s.w += 0.8 * s.slots[0] - kLr * g;
                }),
      optimizer("rmsprop", rules::RmsProp{.rho = 0.8, .epsilon = 1e-3},
                [](State& s, double g, int) {
                  s.slots[0] = 0.8 * s.slots[0] + 0.2 * g * g;
                  s.w -= kLr * g / std::sqrt(s.slots[0] + 1e-3);
                }),
      optimizer("rmsprop_momentum", rules::RmsProp{.rho = 0.8, .momentum = 0.5, .epsilon = 1e-3},
                [](State& s, double g, int) {
                  s.slots[0] = 0.8 * s.slots[0] + 0.2 * g * g;
                  s.slots[1] = 0.5 * s.slots[1] + kLr * g / std::sqrt(s.slots[0] + 1e-3);
                  s.w -= s.slots[1];
                }),
      optimizer("adagrad", rules::Adagrad{.epsilon = 1e-3},
                [](State& s, double g, int) {
                  s.slots[0] += g * g;
                  s.w -= kLr * g / std::sqrt(s.slots[0] + 1e-3);
                }),
      adam("adam", {.epsilon = 1e-3}),
      adam("adam_with_decay", {.beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1}),
      adam("adamw", rules::AdamW{.beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1}),
      adam("adam_without_memory", {.beta1 = 0, .beta2 = 0, .epsilon = 1e-3}),
      optimizer("adagrad_with_decay", rules::Adagrad{.weight_decay = 0.1},
                [](State& s, double g, int) {
                  s.w -= kLr * 0.1 * s.w;
                  s.slots[0] += g * g;
                  s.w -= kLr * g / std::sqrt(s.slots[0] + 1e-7);
                }),
      rmsprop_centered("rmsprop_centered",
                       {.rho = 0.8, .epsilon = 1.5, .centered = true, .weight_decay = 0.1}),
      rmsprop_centered("rmsprop_centered_momentum",
                       {.rho = 0.8, .momentum = 0.5, .epsilon = 1.5, .centered = true}),
      adamax({.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.1}),
      nadam({.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.1}),
      optimizer("adadelta", rules::Adadelta{.rho = 0.8, .epsilon = 1e-3, .weight_decay = 0.1},
                [](State& s, double g, int) {
                  s.w -= kLr * 0.1 * s.w;
                  s.slots[0] = 0.8 * s.slots[0] + 0.2 * g * g;
                  const double d = std::sqrt(s.slots[1] + 1e-3) * g / std::sqrt(s.slots[0] + 1e-3);
                  s.slots[1] = 0.8 * s.slots[1] + 0.2 * d * d;
                  s.w -= kLr * d;
                }),
      optimizer("lion", rules::Lion{.beta1 = 0.8, .weight_decay = 0.1},
                [](State& s, double g, int) {
                  const double mixed = 0.8 * s.slots[0] + 0.2 * g;
                  s.w -= kLr * 0.1 * s.w + kLr * (mixed > 0 ? 1 : mixed < 0 ? -1 : 0);
                  s.slots[0] = 0.99 * s.slots[0] + 0.01 * g;
                }),
      ftrl("ftrl", {.l1 = 0.3, .l2 = 0.1, .l2_shrinkage = 0.2, .beta = 0.5, .weight_decay = 0.1}),
      ftrl("ftrl_of_another_power", {.learning_rate_power = -0.3, .l1 = 0.3}),
      amsgrad("amsgrad", {{.beta2 = 0.5, .epsilon = 1e-3, .weight_decay = 0.1}}),
  };
}

class OptimizerTest : public ::testing::TestWithParam<std::tuple<Optimizer, const char*>> {
 protected:
  // Variable and slots of shape `shape`, drawn positive, as squares must be.
  void make_variables(const Shape& shape) {
    for (int i = 0; i <= optimizer_.slots; ++i) {
      variables_.push_back(ops::variable(graph_, "v" + std::to_string(i), DType::kFloat64, shape));
      feeds_.emplace_back(variables_.back(), random_tensor(DType::kFloat64, shape, 0.1, 1,
                                                           7 + static_cast<uint64_t>(i)));
    }
    feeds_.emplace_back(lr_, Tensor::scalar(kLr));
  }
  State state(int64_t i) const {
    const auto at = [&](int k) {
      return k > optimizer_.slots ? 0 : feeds_[static_cast<size_t>(k)].second.as_double(i);
    };
    return {at(0), {at(1), at(2), at(3)}};
  }
  void expect_state(int64_t i, const State& expected) const {
    const State actual = state(i);
    EXPECT_NEAR(actual.w, expected.w, 1e-12) << "element " << i;
    for (int k = 0; k < optimizer_.slots; ++k) {
      EXPECT_NEAR(actual.slots[k], expected.slots[k], 1e-12) << "slot " << k << ", element " << i;
    }
  }
  Node& update(const Gradient& gradient) {
    return ops::update(optimizer_.op, {.variable = variables_[0],
                                       .gradient = gradient,
                                       .learning_rate = lr_,
                                       .step = step_,
                                       .slots = {variables_.begin() + 1, variables_.end()}});
  }
  void run(Node& apply, int t, Feeds more) {
    Feeds feeds = feeds_;
    feeds.emplace_back(step_, Tensor::scalar(int64_t{t}));
    feeds.insert(feeds.end(), more.begin(), more.end());
    evaluate({apply.output()}, feeds, std::get<1>(GetParam()));
  }

  const Optimizer& optimizer_ = std::get<0>(GetParam());
  Graph graph_{core_op_table()};
  Value lr_ = ops::placeholder(graph_, "lr", DType::kFloat32, {});
  Value step_ = ops::placeholder(graph_, "step", DType::kInt64, {});
  std::vector<Value> variables_;
  Feeds feeds_;
};

TEST_P(OptimizerTest, FollowsItsFormulaOverSeveralSteps) {
  const Shape shape{3, 7};
  make_variables(shape);
  const Value gradient = ops::placeholder(graph_, "g", DType::kFloat64, shape);
  Node& apply = update({.values = gradient});
  std::vector<State> expected;
  for (int64_t i = 0; i < 21; ++i) expected.push_back(state(i));
  for (int t = 1; t <= 10; ++t) {
    const Tensor g = random_tensor(DType::kFloat64, shape, -2, 2, 100 + static_cast<uint64_t>(t));
    for (int64_t i = 0; i < 21; ++i)
      optimizer_.formula(expected[static_cast<size_t>(i)], g.as_double(i), t);
    run(apply, t, {{gradient, g}});
  }
  for (int64_t i = 0; i < 21; ++i) expect_state(i, expected[static_cast<size_t>(i)]);
}

// Rows that repeat count once, with their sum; rows that are not named keep variable and slots.
TEST_P(OptimizerTest, SparseDoesToItsRowsWhatDenseDoes) {
  make_variables({5, 3});
  const Value indices = ops::placeholder(graph_, "i", DType::kInt64, {-1});
  const Value rows = ops::placeholder(graph_, "r", DType::kFloat64, {-1, 3});
  Node& apply = update({.values = rows, .indices = indices});
  std::vector<State> expected;
  for (int64_t i = 0; i < 15; ++i) expected.push_back(state(i));
  for (int t = 1; t <= 10; ++t) {
    const Tensor r = random_tensor(DType::kFloat64, {4, 3}, -2, 2, 100 + static_cast<uint64_t>(t));
    for (int64_t k = 0; k < 3; ++k) {
      optimizer_.formula(expected[static_cast<size_t>(12 + k)],
                         r.as_double(k) + r.as_double(6 + k) + r.as_double(9 + k), t);
      optimizer_.formula(expected[static_cast<size_t>(3 + k)], r.as_double(3 + k), t);
    }
    run(apply, t, {{indices, Tensor::from<int64_t>({4}, {4, 1, 4, 4})}, {rows, r}});
  }
  for (int64_t i = 0; i < 15; ++i) expect_state(i, expected[static_cast<size_t>(i)]);
}

TEST_P(OptimizerTest, SparseNamesAnIndexOutOfRangeAndChangesNothing) {
  make_variables({5, 3});
  const Value indices = ops::placeholder(graph_, "i", DType::kInt64, {-1});
  const Value rows = ops::placeholder(graph_, "r", DType::kFloat64, {-1, 3});
  Node& apply = update({.values = rows, .indices = indices});
  const Tensor before = feeds_[0].second.clone();
  try {
    run(apply, 1,
        {{indices, Tensor::from<int64_t>({2}, {0, 5})},
         {rows, random_tensor(DType::kFloat64, {2, 3}, 0, 1, 3)}});
    FAIL() << "index 5 of 5 rows was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("index 5 at position 1 is not in [0, 5)"));
  }
  EXPECT_EQ(difference(feeds_[0].second, before, 0), "");
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerTest,
                         ::testing::Combine(::testing::ValuesIn(optimizers()),
                                            ::testing::Values("reference", "cpu")),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_" + std::get<1>(info.param);
                         });

TEST(Updates, AssignAddAndAverage) {
  Graph graph(core_op_table());
  const Value v = ops::variable(graph, "v", DType::kFloat32, {2});
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2});
  const auto run = [&](Node& node) {
    Tensor memory = Tensor::from<float>({2}, {10, 20});
    const Tensor result =
        evaluate({node.output()}, {{v, memory}, {x, Tensor::from<float>({2}, {1, 2})}}, "cpu")[0];
    EXPECT_EQ(result.raw(), memory.raw()) << "an update's output is the variable's memory";
    return std::pair(memory.as_double(0), memory.as_double(1));
  };
  EXPECT_EQ(run(ops::assign(v, x)), std::pair(1.0, 2.0));
  EXPECT_EQ(run(ops::assign_add(v, x)), std::pair(11.0, 22.0));
  EXPECT_EQ(run(ops::assign_moving_average(v, x, 0.75)), std::pair(7.75, 15.5));
}

TEST(Updates, MomentumWithoutASlotIsRefused) {
  Graph graph(core_op_table());
  const Value v = ops::variable(graph, "v", DType::kFloat32, {2});
  const Value lr = ops::placeholder(graph, "lr", DType::kFloat32, {});
  try {
    ops::update(update_op(rules::Sgd{.momentum = 0.9}),
                {.variable = v, .gradient = {.values = v}, .learning_rate = lr});
    FAIL() << "no slot was taken for one";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("expected 1 slot variables, found 0"));
  }
}

// Else the formula with momentum would look for a slot that the op does not have.
TEST(Updates, AttributesOfAnotherFormAreRefused) {
  Graph graph(core_op_table());
  const Value v = ops::variable(graph, "v", DType::kFloat32, {2});
  UpdateOp op = update_op(rules::Sgd{.momentum = 0.9});
  op.name = "ApplySgd";
  Node& node = ops::update(op, {.variable = v,
                                .gradient = {.values = v},
                                .learning_rate = ops::scalar(graph, DType::kFloat32, 1)});
  try {
    evaluate({node.output()}, {{v, Tensor::from<float>({2}, {1, 2})}}, "cpu");
    FAIL() << "momentum without a slot was computed";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("which ApplyMomentum computes"));
  }
}

}  // namespace
}  // namespace trireme::testing
