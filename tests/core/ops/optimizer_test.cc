// The Apply… ops against their papers' formulas, written out again here in double precision.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;

// One number's state; the formula changes it for gradient g at step t.
struct State {
  double w, slot0, slot1;
};
using Formula = std::function<void(State&, double g, int t)>;
constexpr float kLr = 0.05f;

struct Optimizer {
  std::string name;
  int slots;
  Formula formula;
  std::function<Node&(const std::vector<Value>& variables, Value lr, Value step, Value gradient)>
      dense;
  std::function<Node&(const std::vector<Value>& variables, Value lr, Value step, Value indices,
                      Value rows)>
      sparse;
};

void PrintTo(const Optimizer& optimizer, std::ostream* out) { *out << optimizer.name; }

std::vector<Optimizer> optimizers() {
  using namespace ops;
  const SgdOptions sgd{.weight_decay = 0.1}, momentum{.momentum = 0.9},
      nesterov{.momentum = 0.8, .nesterov = true};
  const RmsPropOptions rmsprop{.rho = 0.8, .epsilon = 1e-3},
      rmsprop_momentum{.rho = 0.8, .momentum = 0.5, .epsilon = 1e-3};
  const AdagradOptions adagrad{.epsilon = 1e-3};
  const AdamOptions adam{.epsilon = 1e-3}, adamw{.beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1};
  const auto with_sgd = [](const std::string& name, const ops::SgdOptions& o,
                           const Formula& formula) -> Optimizer {
    const int slots = o.momentum == 0 ? 0 : 1;
    const auto slot = [=](const std::vector<Value>& v) { return slots == 0 ? Value{} : v[1]; };
    return {name, slots, formula,
            [=](auto& v, Value lr, Value, Value g) -> Node& {
              return ops::apply_sgd(v[0], slot(v), lr, g, o);
            },
            [=](auto& v, Value lr, Value, Value i, Value r) -> Node& {
              return ops::apply_sgd_sparse(v[0], slot(v), lr, i, r, o);
            }};
  };
  const auto with_rmsprop = [](const std::string& name, const ops::RmsPropOptions& o,
                               const Formula& formula) -> Optimizer {
    const int slots = o.momentum == 0 ? 1 : 2;
    const auto slot = [=](const std::vector<Value>& v) { return slots == 1 ? Value{} : v[2]; };
    return {name, slots, formula,
            [=](auto& v, Value lr, Value, Value g) -> Node& {
              return ops::apply_rmsprop(v[0], v[1], slot(v), lr, g, o);
            },
            [=](auto& v, Value lr, Value, Value i, Value r) -> Node& {
              return ops::apply_rmsprop_sparse(v[0], v[1], slot(v), lr, i, r, o);
            }};
  };
  const auto with_adam = [](const std::string& name, const ops::AdamOptions& o) -> Optimizer {
    return {name, 2,
            [=](State& s, double g, int t) {
              s.w -= kLr * o.weight_decay * s.w;
              s.slot0 = o.beta1 * s.slot0 + (1 - o.beta1) * g;
              s.slot1 = o.beta2 * s.slot1 + (1 - o.beta2) * g * g;
              const double rate =
                  kLr * std::sqrt(1 - std::pow(o.beta2, t)) / (1 - std::pow(o.beta1, t));
              s.w -= rate * s.slot0 / (std::sqrt(s.slot1) + o.epsilon);
            },
            [=](auto& v, Value lr, Value t, Value g) -> Node& {
              return ops::apply_adam(v[0], v[1], v[2], lr, t, g, o);
            },
            [=](auto& v, Value lr, Value t, Value i, Value r) -> Node& {
              return ops::apply_adam_sparse(v[0], v[1], v[2], lr, t, i, r, o);
            }};
  };
  return {
      with_sgd("sgd", sgd, [](State& s, double g, int) { s.w = s.w - kLr * 0.1 * s.w - kLr * g; }),
      with_sgd("momentum", momentum,
               [](State& s, double g, int) {
                 s.slot0 = 0.9 * s.slot0 - kLr * g;
                 s.w += s.slot0;
               }),
      with_sgd("nesterov", nesterov,
               [](State& s, double g, int) {
                 s.slot0 = 0.8 * s.slot0 - kLr * g;
                 s.w += 0.8 * s.slot0 - kLr * g;
               }),
      with_rmsprop("rmsprop", rmsprop,
                   [](State& s, double g, int) {
                     s.slot0 = 0.8 * s.slot0 + 0.2 * g * g;
                     s.w -= kLr * g / std::sqrt(s.slot0 + 1e-3);
                   }),
      with_rmsprop("rmsprop_momentum", rmsprop_momentum,
                   [](State& s, double g, int) {
                     s.slot0 = 0.8 * s.slot0 + 0.2 * g * g;
                     s.slot1 = 0.5 * s.slot1 + kLr * g / std::sqrt(s.slot0 + 1e-3);
                     s.w -= s.slot1;
                   }),
      {"adagrad", 1,
       [](State& s, double g, int) {
         s.slot0 += g * g;
         s.w -= kLr * g / std::sqrt(s.slot0 + 1e-3);
       },
       [=](auto& v, Value lr, Value, Value g) -> Node& {
         return ops::apply_adagrad(v[0], v[1], lr, g, adagrad);
       },
       [=](auto& v, Value lr, Value, Value i, Value r) -> Node& {
         return ops::apply_adagrad_sparse(v[0], v[1], lr, i, r, adagrad);
       }},
      with_adam("adam", adam),
      with_adam("adamw", adamw),
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
    return {at(0), at(1), at(2)};
  }
  void expect_state(int64_t i, const State& expected) const {
    const State actual = state(i);
    EXPECT_NEAR(actual.w, expected.w, 1e-12) << "element " << i;
    if (optimizer_.slots > 0) {
      EXPECT_NEAR(actual.slot0, expected.slot0, 1e-12) << "element " << i;
    }
    if (optimizer_.slots > 1) {
      EXPECT_NEAR(actual.slot1, expected.slot1, 1e-12) << "element " << i;
    }
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
  Node& apply = optimizer_.dense(variables_, lr_, step_, gradient);
  std::vector<State> expected;
  for (int64_t i = 0; i < 21; ++i) expected.push_back(state(i));
  for (int t = 1; t <= 5; ++t) {
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
  Node& apply = optimizer_.sparse(variables_, lr_, step_, indices, rows);
  std::vector<State> expected;
  for (int64_t i = 0; i < 15; ++i) expected.push_back(state(i));
  for (int t = 1; t <= 3; ++t) {
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
  Node& apply = optimizer_.sparse(variables_, lr_, step_, indices, rows);
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
  EXPECT_THROW(ops::apply_sgd(v, {}, lr, v, {.momentum = 0.9}), Error);
}

}  // namespace
}  // namespace trireme::testing
