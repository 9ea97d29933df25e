#include "core/base/error.h"
#include "core/rules/core_rules.h"
#include "core/rules/update_rule.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Optimizer {
  std::string op, label;
  int slots;
  bool has_step;
  Attributes attributes;
};

template <typename Rule>
Optimizer of_rule(const std::string& label, const Rule& rule) {
  const UpdateOp op = update_op(rule);
  return {op.name, label, static_cast<int>(rule_slots(rule).size()), Rule::kInfo.has_step,
          op.attributes};
}

const std::vector<Optimizer>& optimizers() {
  static const std::vector<Optimizer> all = {
      of_rule("plain", rules::Sgd{}),
      of_rule("decay", rules::Sgd{.weight_decay = 0.1}),
      of_rule("plain", rules::Sgd{.momentum = 0.9, .weight_decay = 0.01}),
      of_rule("nesterov", rules::Sgd{.momentum = 0.9, .nesterov = true}),
      of_rule("plain", rules::RmsProp{}),
      of_rule("plain", rules::RmsProp{.momentum = 0.5, .weight_decay = 0.1}),
      // What is under the root must be positive for slots of any numbers.
      of_rule("plain", rules::RmsProp{.epsilon = 1.5, .centered = true}),
      of_rule("plain", rules::RmsProp{.momentum = 0.5, .epsilon = 1.5, .centered = true}),
      of_rule("plain", rules::Adagrad{}),
      of_rule("decay", rules::Adam{.weight_decay = 0.01}),
      of_rule("decay", rules::AdamW{}),
      of_rule("decay", rules::Adamax{.weight_decay = 0.01}),
      of_rule("decay", rules::Nadam{.weight_decay = 0.01}),
      of_rule("decay", rules::Adadelta{.weight_decay = 0.01}),
      of_rule("root", rules::Ftrl{.l1 = 0.1, .l2 = 0.1, .weight_decay = 0.01}),
      of_rule("power", rules::Ftrl{.learning_rate_power = -0.3, .l1 = 0.1}),
      of_rule("decay", rules::Lion{.weight_decay = 0.01}),
      of_rule("decay", rules::Amsgrad{{.weight_decay = 0.01}}),
  };
  return all;
}

// Slots are drawn positive: those that hold squares must be.
std::vector<OpInput> inputs_of(const Optimizer& optimizer, const Shape& shape) {
  std::vector<OpInput> inputs = {real(shape)};
  for (int i = 0; i < optimizer.slots; ++i) inputs.push_back(real(shape, 0.1, 1));
  inputs.push_back(fixed(DType::kFloat32, {}, 0.01, 0.1));
  if (optimizer.has_step) inputs.push_back(fixed(DType::kInt64, {}, 1, 50));
  return inputs;
}

OpCase grouped(const Optimizer& optimizer, const std::string& label,
               const std::vector<Shape>& shapes, bool has_guard) {
  OpCase op_case{"GroupedUpdate", optimizer.op + "_" + optimizer.label + "_" + label, {}};
  const auto add = [&](const OpInput& input) { op_case.inputs.push_back(input); };
  for (const Shape& shape : shapes) add(real(shape));
  for (int slot = 0; slot < optimizer.slots; ++slot) {
    for (const Shape& shape : shapes) add(real(shape, 0.1, 1));
  }
  if (!optimizer.op.starts_with("Assign")) add(fixed(DType::kFloat32, {}, 0.01, 0.1));
  if (optimizer.has_step) add(fixed(DType::kInt64, {}, 1, 50));
  for (const Shape& shape : shapes) add(real(shape));
  if (has_guard) add(fixed(DType::kBool, {}, 0, 1));
  const auto count = static_cast<int64_t>(shapes.size());
  op_case.attributes = optimizer.attributes;
  op_case.attributes.set("rule", optimizer.op + (has_guard ? "If" : ""));
  op_case.attributes.set("tensors", count);
  op_case.attributes.set("mutated", (1 + optimizer.slots) * count);
  return op_case;
}

std::vector<OpCase> grouped_cases() {
  std::vector<OpCase> cases;
  std::vector<Optimizer> rules = optimizers();
  rules.push_back({"AssignMovingAverage", "plain", 0, false, {{"momentum", 0.9}}});
  rules.push_back({"AssignAdd", "plain", 0, false, {}});
  rules.push_back({"AssignWeightAverage", "plain", 0, true, {{"momentum", 0.9}}});
  for (const Optimizer& rule : rules) {
    cases.push_back(grouped(rule, "some", {{3, 5}, {}, {0, 2}, {5003}, {2, 2, 3}}, false));
  }
  // The second of these two guards is the other way round than the first.
  for (const size_t shapes : {2u, 3u}) {
    cases.push_back(
        grouped(rules[0], str_cat(shapes, "_if"), std::vector<Shape>(shapes, {7}), true));
  }
  // More than a GPU takes in one launch, the last of them empty.
  std::vector<Shape> many(301, {7});
  many.back() = {0};
  cases.push_back(grouped(rules[2], "many", many, false));
  for (const DType small : {DType::kFloat16, DType::kBFloat16}) {
    OpCase op_case =
        grouped(rules[0], "gradients_" + std::string(name(small)), {{9}, {2050}}, false);
    for (OpInput& input : op_case.inputs) input.is_real = false;
    op_case.inputs.back().dtype = small;
    cases.push_back(op_case);
  }
  return cases;
}

}  // namespace

std::vector<OpCase> update_cases() {
  std::vector<OpCase> cases;
  for (const Shape& shape : {Shape{}, Shape{3, 5}, Shape{0, 2}, Shape{70003}}) {
    cases.push_back({"Assign", shape.to_string(), {real(shape), real(shape)}});
    cases.push_back({"AssignAdd", shape.to_string(), {real(shape), real(shape)}});
    cases.push_back({"AssignMovingAverage",
                     shape.to_string(),
                     {real(shape), real(shape)},
                     {{"momentum", 0.9}}});
    cases.push_back({"AssignWeightAverage",
                     shape.to_string(),
                     {real(shape), fixed(DType::kInt64, {}, 1, 3), real(shape)},
                     {{"momentum", 0.9}}});
    for (const Optimizer& optimizer : optimizers()) {
      std::vector<OpInput> inputs = inputs_of(optimizer, shape);
      inputs.push_back(real(shape));
      cases.push_back(
          {optimizer.op, optimizer.label + shape.to_string(), inputs, optimizer.attributes});
    }
  }
  struct Sparse {
    const char* label;
    Shape variable, indices, rows;
    DType dtype;
  };
  for (const Sparse& sparse : {Sparse{"repeats", {5, 3}, {9}, {9, 3}, DType::kInt64},
                               Sparse{"none", {5, 3}, {0}, {0, 3}, DType::kInt32},
                               Sparse{"numbers", {7}, {4}, {4}, DType::kInt32},
                               Sparse{"wide_rows", {4, 3, 211}, {6}, {6, 3, 211}, DType::kInt64},
                               Sparse{"many_rows", {70001, 5}, {901}, {901, 5}, DType::kInt64}}) {
    for (const Optimizer& optimizer : optimizers()) {
      std::vector<OpInput> inputs = inputs_of(optimizer, sparse.variable);
      inputs.push_back(
          fixed(sparse.dtype, sparse.indices, 0, static_cast<double>(sparse.variable[0])));
      inputs.push_back(real(sparse.rows));
      cases.push_back({optimizer.op + "Sparse", optimizer.label + "_" + sparse.label, inputs,
                       optimizer.attributes});
    }
  }
  // Many row numbers, which a GPU sorts: some of them hundreds of times, and most of them once.
  for (const Sparse& sparse : {Sparse{"hot_rows", {5, 4}, {4501}, {4501, 4}, DType::kInt32},
                               Sparse{"sorted", {70001, 3}, {4501}, {4501, 3}, DType::kInt64}}) {
    const Optimizer& optimizer = optimizers().back();
    std::vector<OpInput> inputs = inputs_of(optimizer, sparse.variable);
    inputs.push_back(
        fixed(sparse.dtype, sparse.indices, 0, static_cast<double>(sparse.variable[0])));
    inputs.push_back(real(sparse.rows));
    cases.push_back({optimizer.op + "Sparse", optimizer.label + "_" + sparse.label, inputs,
                     optimizer.attributes, 1e-4});
  }
  // With a guard, which random_tensor() makes true or false.
  for (size_t i = 0, count = cases.size(); i < count; ++i) {
    cases.push_back(cases[i]);
    cases.back().op += "If";
    cases.back().inputs.push_back(fixed(DType::kBool, {}, 0, 1));
  }
  for (const OpCase& group : grouped_cases()) cases.push_back(group);
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const OpInput a = real(ta ? Shape{17, 7} : Shape{7, 17}),
                    b = real(tb ? Shape{5, 17} : Shape{17, 5});
      cases.push_back({"FusedMatMulApplySgd",
                       std::string(ta ? "ta" : "a") + (tb ? "_tb" : "_b"),
                       {statistic({7, 5}), fixed(DType::kFloat32, {}, 0.01, 0.1), a, b},
                       {{"transpose_a", ta}, {"transpose_b", tb}}});
    }
  }
  return cases;
}

}  // namespace trireme::testing
