// The rows of a table against the same rows of a variable that a session updates: the same bytes,
// for every optimizer.
#include <cstring>

#include "core/base/philox.h"
#include "core/nn/initializers.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/ps/table/helpers.h"

namespace trireme::ps {
namespace {

struct Case {
  std::string name;
  ops::UpdateOp op;
  std::vector<double> slot_initials;
  std::function<Node&(const std::vector<Value>& variables, Value lr, Value step, Value indices,
                      Value rows)>
      build;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

template <typename Options>
Case sgd(const std::string& name, const Options& o) {
  return {name, ops::update_op(o), std::vector<double>(o.momentum == 0 ? 0 : 1),
          [o](auto& v, Value lr, Value, Value i, Value r) -> Node& {
            return ops::apply_sgd_sparse(v[0], v.size() > 1 ? v[1] : Value{}, lr, i, r, o);
          }};
}

Case rmsprop(const std::string& name, const ops::RmsPropOptions& o) {
  return {name, ops::update_op(o), std::vector<double>(o.momentum == 0 ? 1 : 2),
          [o](auto& v, Value lr, Value, Value i, Value r) -> Node& {
            return ops::apply_rmsprop_sparse(v[0], v[1], v.size() > 2 ? v[2] : Value{}, lr, i, r,
                                             o);
          }};
}

Case adam(const std::string& name, const ops::AdamOptions& o) {
  return {name,
          ops::update_op(o),
          {0, 0},
          [o](auto& v, Value lr, Value step, Value i, Value r) -> Node& {
            return ops::apply_adam_sparse(v[0], v[1], v[2], lr, step, i, r, o);
          }};
}

std::vector<Case> cases() {
  const ops::AdagradOptions adagrad{.epsilon = 1e-3};
  return {sgd("sgd", ops::SgdOptions{}),
          sgd("sgd_decay", ops::SgdOptions{.weight_decay = 0.1}),
          sgd("momentum", ops::SgdOptions{.momentum = 0.9}),
          sgd("nesterov", ops::SgdOptions{.momentum = 0.8, .nesterov = true}),
          rmsprop("rmsprop", {.rho = 0.8}),
          rmsprop("rmsprop_momentum", {.rho = 0.8, .momentum = 0.5}),
          {"adagrad",
           ops::update_op(adagrad),
           {0.1},
           [adagrad](auto& v, Value lr, Value, Value i, Value r) -> Node& {
             return ops::apply_adagrad_sparse(v[0], v[1], lr, i, r, adagrad);
           }},
          adam("adam", {}),
          adam("adamw", {.beta1 = 0.8, .weight_decay = 0.1})};
}

class RowUpdateTest : public ::testing::TestWithParam<std::tuple<Case, int64_t>> {};

TEST_P(RowUpdateTest, RowsHaveTheBytesOfALocalVariable) {
  const auto& [c, dim] = GetParam();
  constexpr int64_t kRows = 300;
  constexpr float kLr = 0.05f;
  const auto initializer = nn::uniform(-1, 1);
  TableSpec spec = sum_table(dim);
  spec.initializer = initializer.fill({}, 11).value();
  spec.update = {c.op.name, c.op.attributes, {}, c.slot_initials};
  spec.update.slot_names.resize(c.slot_initials.size(), "slot");
  TableShard shard(spec, 0, 1);

  Graph graph(core_op_table());
  Session session(graph);
  std::vector<Value> variables;
  const Shape shape{kRows, dim};
  for (size_t k = 0; k <= c.slot_initials.size(); ++k) {
    const std::string name = "v" + std::to_string(k);
    variables.push_back(ops::variable(graph, name, DType::kFloat32, shape));
    const auto first = k == 0 ? initializer : nn::constant(c.slot_initials[k - 1]);
    session.variables().set(name, first({{DType::kFloat32, shape}, {}, 11}));
  }
  const Value lr = ops::placeholder(graph, "lr", DType::kFloat32, {}),
              step = ops::placeholder(graph, "step", DType::kInt64, {}),
              indices = ops::placeholder(graph, "indices", DType::kInt64, {-1}),
              rows = ops::placeholder(graph, "rows", DType::kFloat32, {-1, dim});
  Node& update = c.build(variables, lr, step, indices, rows);

  PhiloxGenerator random(5);
  Resolution resolution;
  for (int64_t t = 1; t <= 6; ++t) {
    Keys keys;
    for (int64_t key = 0; key < kRows; ++key) {
      if (random.below(3) > 0) keys.push_back(key);
    }
    const auto n = static_cast<int64_t>(keys.size());
    Tensor index(DType::kInt64, {n}), gradient(DType::kFloat32, {n, dim}),
        number(DType::kInt64, {});
    std::copy(keys.begin(), keys.end(), index.flat<int64_t>().begin());
    for (float& g : gradient.flat<float>()) g = random.uniform(-1, 1);
    number.flat<int64_t>()[0] = t;
    shard.push(keys, gradient.flat<float>().data(), {.step = t, .learning_rate = kLr},
               t % 2 == 0 ? &resolution : nullptr);
    session.run({{lr, Tensor::scalar(kLr)}, {step, number}, {indices, index}, {rows, gradient}}, {},
                {&update});
  }

  const auto w = static_cast<size_t>(dim);
  int64_t compared = 0;
  for (size_t k = 0; k <= c.slot_initials.size(); ++k) {
    const Tensor expected = session.variables().get("v" + std::to_string(k));
    shard.for_each([&](const RowView& row) {
      const float* actual = k == 0 ? row.weight.data() : row.slots.data() + (k - 1) * w;
      const float* wanted = expected.flat<float>().data() + static_cast<size_t>(row.key) * w;
      for (size_t i = 0; i < w; ++i) {
        uint32_t a, b;
        std::memcpy(&a, actual + i, 4);
        std::memcpy(&b, wanted + i, 4);
        ASSERT_EQ(a, b) << "value " << k << " of row " << row.key << ", element " << i << ": "
                        << actual[i] << ", locally " << wanted[i];
      }
      ++compared;
    });
  }
  EXPECT_GE(compared, kRows / 2);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, RowUpdateTest,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(1, 7, 64)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace trireme::ps
