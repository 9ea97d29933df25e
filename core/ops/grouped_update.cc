#include "core/ops/grouped_update.h"

#include "core/base/error.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// "rule": the dense update op that each of the "tensors" variables gets, whose other attributes are
// here too; "mutated": how many inputs are updated. Inputs: all variables, all first slots, all
// second slots, what the updates share, all gradients, and the guard of a rule "…If". Output i is
// the memory of variable i.
//
// `table` has the rules, and this op: it lives as long as the op.
OpDef grouped_update_op(const OpTable& table) {
  return {
      .name = "GroupedUpdate",
      .min_inputs = 2,
      .max_inputs = -1,
      .infer =
          [&table](const InferenceContext& c) {
            const OpDef& rule = table.find(c.attribute<std::string>("rule"));
            const auto update = dense_update(rule);
            c.require(update.has_value(), "a dense update as its rule");
            const int n = static_cast<int>(c.attribute<int64_t>("tensors"));
            c.require(
                n > 0 && c.attribute<int64_t>("mutated") == int64_t{update->own} * n &&
                    c.input_count() == (update->own + 1) * n + update->shared + update->has_guard,
                "variables, slots, what they share, and gradients as the rule has them");
            Types variables;
            for (int i = 0; i < n; ++i) {
              std::vector<TensorType> inputs;
              for (int k = 0; k < update->own; ++k) inputs.push_back(c.input(k * n + i));
              for (int k = 0; k < update->shared; ++k) {
                inputs.push_back(c.input(update->own * n + k));
              }
              TensorType gradient = c.input(update->own * n + update->shared + i);
              if (c.dtype(0) == DType::kFloat32 &&
                  (gradient.dtype == DType::kFloat16 || gradient.dtype == DType::kBFloat16)) {
                gradient.dtype = DType::kFloat32;
              }
              inputs.push_back(gradient);
              if (update->has_guard) inputs.push_back(c.input(c.input_count() - 1));
              c.require(c.dtype(i) == c.dtype(0), "variables of one dtype");
              const InferenceContext one(rule, str_cat("number ", i, " of a group"),
                                         std::move(inputs), c.attributes());
              variables.push_back(rule.infer(one).front());
            }
            return variables;
          },
      .traits = {.mutated_inputs = {0}, .is_stateful = true},
  };
}

}  // namespace

std::optional<DenseUpdate> dense_update(const OpDef& op) {
  const std::string_view name = op.name;
  if (!name.starts_with("Apply") && !name.starts_with("Assign")) return {};
  if (name.find("Sparse") != name.npos || op.min_inputs != op.max_inputs) return {};
  DenseUpdate update;
  update.own = static_cast<int>(op.traits.mutated_inputs.size());
  update.has_guard = name.ends_with("If");
  update.shared = op.min_inputs - update.own - 1 - update.has_guard;
  return update;
}

Node& grouped_update(Graph& graph, const OpDef& op, Attributes attributes,
                     const std::vector<std::vector<Value>>& updates, std::string name) {
  const DenseUpdate update = dense_update(op).value();
  std::vector<Value> inputs;
  for (int k = 0; k < update.own; ++k) {
    for (const auto& one : updates) inputs.push_back(one.at(static_cast<size_t>(k)));
  }
  for (int k = 0; k < update.shared; ++k) {
    inputs.push_back(updates.at(0).at(static_cast<size_t>(update.own + k)));
  }
  for (const auto& one : updates) {
    inputs.push_back(one.at(static_cast<size_t>(update.gradient_input())));
  }
  if (update.has_guard) {
    inputs.push_back(updates.at(0).at(static_cast<size_t>(update.guard_input())));
  }
  const auto count = static_cast<int64_t>(updates.size());
  attributes.set("rule", op.name);
  attributes.set("tensors", count);
  attributes.set("mutated", update.own * count);
  return graph.add("GroupedUpdate", std::move(inputs), std::move(attributes), std::move(name));
}

}  // namespace trireme::ops

namespace trireme {

void register_grouped_update_ops(OpTable& table) { table.add(ops::grouped_update_op(table)); }

}  // namespace trireme
