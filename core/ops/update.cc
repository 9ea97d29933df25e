// Ops that change variables in place, by the rules of core/rules. Their inputs are in the order of
// UpdateFacts. Output 0 is the memory of the variable, hence its new value.
#include "core/ops/update.h"

#include "core/ops/register.h"
#include "core/ops/rules.h"
#include "core/rules/core_rules.h"

namespace trireme::ops {
namespace {

Types infer_update(const InferenceContext& c, const UpdateFacts& facts) {
  c.require_floating();
  if (facts.is_guarded) {
    c.require(c.input(facts.guard_input()) == TensorType{DType::kBool, {}},
              "a bool[] after the inputs of the update");
  }
  for (int i = 1; i <= facts.slots; ++i) {
    c.require(c.input(i) == c.input(0), "slots of the variable's dtype and shape");
  }
  if (facts.has_learning_rate) {
    c.require(c.input(facts.learning_rate_input()) == TensorType{DType::kFloat32, {}},
              "a learning rate of f32[]");
  }
  if (facts.has_step) {
    c.require(c.input(facts.step_input()) == TensorType{DType::kInt64, {}}, "a step of i64[]");
  }
  const int gradient = facts.gradient_input();
  if (facts.is_sparse) {
    c.require(c.shape(0).rank() >= 1, "a variable with rows");
    c.require(c.shape(gradient).rank() == 1, "indices [n]");
    Shape rows = c.shape(gradient).first(1);
    for (int64_t size : c.shape(0).last(c.shape(0).rank() - 1)) rows.push_back(size);
    c.require(c.dtype(gradient + 1) == c.dtype(0) && compatible(c.shape(gradient + 1), rows),
              "one row of the variable's dtype and row shape for each index");
  } else {
    c.require(c.dtype(gradient) == c.dtype(0) && compatible(c.shape(gradient), c.shape(0)),
              "a value of the variable's dtype and shape");
  }
  return {c.input(0)};
}

OpDef update_op_def(std::string name, UpdateFacts facts) {
  std::vector<int> mutated(static_cast<size_t>(facts.own()));
  for (int i = 0; i < facts.own(); ++i) mutated[static_cast<size_t>(i)] = i;
  std::vector<int> indices;
  if (facts.is_sparse) indices.push_back(facts.gradient_input());
  return {
      .name = std::move(name),
      .min_inputs = facts.inputs(),
      .max_inputs = facts.inputs(),
      .attributes = facts.rule->attributes,
      .infer = [facts](const InferenceContext& c) { return infer_update(c, facts); },
      .traits = {.mutated_inputs = std::move(mutated),
                 .is_stateful = true,
                 .index_inputs = std::move(indices)},
      .update = facts,
  };
}

}  // namespace

Node& update(const UpdateOp& op, const UpdateInputs& in) {
  const Graph& graph = in.variable.graph();
  const OpDef* def = &graph.ops()->find(op.name);
  if (def->update && in.gradient.is_sparse()) def = &graph.ops()->find(def->update->sparse);
  if (def->update && in.only_if.defined()) def = &graph.ops()->find(def->update->guarded);
  TRIREME_CHECK(def->update.has_value(), op.name, " is no update by a rule");
  const UpdateFacts& facts = *def->update;
  if (static_cast<int>(in.slots.size()) != facts.slots) {
    throw invalid_argument(def->name, " of '", in.variable.node->name(), "': expected ",
                           facts.slots, " slot variables, found ", in.slots.size());
  }
  std::vector<Value> inputs = {in.variable};
  inputs.insert(inputs.end(), in.slots.begin(), in.slots.end());
  if (facts.has_learning_rate) inputs.push_back(in.learning_rate);
  if (facts.has_step) inputs.push_back(in.step);
  if (facts.is_sparse) inputs.push_back(*in.gradient.indices);
  inputs.push_back(in.gradient.values);
  if (facts.is_guarded) inputs.push_back(in.only_if);
  return *build(def->name, std::move(inputs), op.attributes).node;
}

Node& assign(Value variable, Value value) {
  return update(update_op(rules::Assign{}), {.variable = variable, .gradient = {.values = value}});
}

Node& assign_add(Value variable, Value value) {
  return update(update_op(rules::AssignAdd{}),
                {.variable = variable, .gradient = {.values = value}});
}

Node& assign_moving_average(Value variable, Value value, double momentum, Value only_if) {
  return update(update_op(rules::MovingAverage{.momentum = momentum}),
                {.variable = variable, .gradient = {.values = value}, .only_if = only_if});
}

}  // namespace trireme::ops

namespace trireme {

void add_update_ops(OpTable& table, const std::shared_ptr<const UpdateRule>& rule) {
  const RuleInfo& info = rule->info;
  for (const UpdateRule::Op& op : rule->ops) {
    for (const bool is_sparse : {false, true}) {
      if (is_sparse && !info.is_optimizer) continue;
      const std::string name = op.name + (is_sparse ? "Sparse" : "");
      UpdateFacts facts{.rule = rule,
                        .form = op.name,
                        .slots = op.slots,
                        .has_learning_rate = info.is_optimizer,
                        .has_step = info.has_step,
                        .is_sparse = is_sparse,
                        .sparse = !is_sparse && info.is_optimizer ? name + "Sparse" : "",
                        .guarded = name + "If"};
      table.add(ops::update_op_def(name, facts));
      facts.is_guarded = true;
      facts.guarded.clear();
      if (!facts.sparse.empty()) facts.sparse += "If";
      table.add(ops::update_op_def(name + "If", facts));
    }
  }
}

void register_update_ops(OpTable& table) {
  for (const auto& rule : core_rules()) add_update_ops(table, rule);
}

}  // namespace trireme
