// The rows of a table against the same rows of a variable that a session updates: the same bytes,
// for every optimizer.
#include <cstring>

#include "core/base/philox.h"
#include "core/device/kernel.h"
#include "core/nn/initializers.h"
#include "core/ops/ops.h"
#include "core/ops/update.h"
#include "core/rules/core_rules.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "tests/ps/table/helpers.h"
#include "tests/support/adan.h"

namespace trireme::ps {
namespace {

// Trireme's rules, and one that is not.
struct Tables {
  std::shared_ptr<const OpTable> ops;
  std::shared_ptr<const KernelTable> kernels;
};
const Tables& tables() {
  static const Tables made = [] {
    const auto rule =
        std::make_shared<const UpdateRule>(make_update_rule<trireme::testing::Adan>());
    auto ops = std::make_shared<OpTable>();
    register_core_ops(*ops);
    add_update_ops(*ops, rule);
    auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
    add_update_kernels(*kernels, *rule);
    return Tables{ops, kernels};
  }();
  return made;
}

struct Case {
  std::string name;
  UpdateOp op;
  std::vector<double> slot_initials;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

template <typename Rule>
Case make_case(const std::string& name, const Rule& rule) {
  Case made{name, update_op(rule), {}};
  for (const SlotSpec& slot : rule_slots(rule)) made.slot_initials.push_back(slot.initial);
  return made;
}

std::vector<Case> cases() {
  return {make_case("sgd", rules::Sgd{}),
          make_case("sgd_decay", rules::Sgd{.weight_decay = 0.1}),
          make_case("momentum", rules::Sgd{.momentum = 0.9}),
          make_case("nesterov", rules::Sgd{.momentum = 0.8, .nesterov = true}),
          make_case("rmsprop", rules::RmsProp{.rho = 0.8}),
          make_case("rmsprop_momentum", rules::RmsProp{.rho = 0.8, .momentum = 0.5}),
          make_case("adagrad", rules::Adagrad{.epsilon = 1e-3}),
          make_case("adam", rules::Adam{}),
          make_case("adam_with_decay", rules::Adam{.beta1 = 0.8, .weight_decay = 0.1}),
          make_case("adamw", rules::AdamW{.weight_decay = 0.1}),
          make_case("amsgrad", rules::Amsgrad{{.beta2 = 0.5}}),
          make_case("rmsprop_centered", rules::RmsProp{.momentum = 0.5, .centered = true}),
          make_case("adamax", rules::Adamax{}),
          make_case("nadam", rules::Nadam{}),
          make_case("adadelta", rules::Adadelta{}),
          make_case("lion", rules::Lion{}),
          make_case("ftrl", rules::Ftrl{.l1 = 0.01}),
          make_case("adan", trireme::testing::Adan{})};
}

class RowUpdateTest : public ::testing::TestWithParam<std::tuple<Case, int64_t>> {};

TEST_P(RowUpdateTest, RowsHaveTheBytesOfALocalVariable) {
  const auto& [c, dim] = GetParam();
  constexpr int64_t kRows = 300;
  constexpr float kLr = 0.05f;
  const auto initializer = nn::uniform(-1, 1);
  TableSpec spec = sum_table(dim);
  spec.initializer = initializer.fill({}, 11).value();
  spec.update = {c.op.name, c.op.attributes, {}, c.slot_initials, tables().ops};
  spec.update.slot_names.resize(c.slot_initials.size(), "slot");
  TableShard shard(spec, 0, 1);

  Graph graph(tables().ops);
  Session session(graph, {.kernels = tables().kernels});
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
  Node& update = ops::update(c.op, {.variable = variables[0],
                                    .gradient = {.values = rows, .indices = indices},
                                    .learning_rate = lr,
                                    .step = step,
                                    .slots = {variables.begin() + 1, variables.end()}});

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
