#include "core/ops/grouped_update.h"

#include "core/base/error.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// "rule": the dense update op that each of the "tensors" variables gets, whose other attributes are
// here too; "mutated": how many inputs are updated. Inputs: all variables, all first slots, all
// second slots, and so on, what the updates share, all gradients, and the guard of a rule that has
// one. Output i is the memory of variable i.
//
// `table` has the rules, and this op: it lives as long as the op.
OpDef grouped_update_op(const OpTable& table) {
  return {
      .name = "GroupedUpdate",
      .min_inputs = 2,
      .max_inputs = -1,
      .attributes = {attribute<std::string>("rule"), attribute<int64_t>("tensors").in(at_least(1)),
                     attribute<int64_t>("mutated").in(at_least(1))},
      .infer =
          [&table](const InferenceContext& c) {
            const OpDef& rule = table.find(c.attribute<std::string>("rule"));
            const UpdateFacts* const update = dense_update(rule);
            c.require(update != nullptr, "a dense update as its rule");
            const int own = update->own(), shared = update->shared();
            const int n = static_cast<int>(c.attribute<int64_t>("tensors"));
            c.require(n > 0 && c.attribute<int64_t>("mutated") == int64_t{own} * n &&
                          c.input_count() == (own + 1) * n + shared + update->is_guarded,
                      "variables, slots, what they share, and gradients as the rule has them");
            Types variables;
            for (int i = 0; i < n; ++i) {
              std::vector<TensorType> inputs;
              for (int k = 0; k < own; ++k) inputs.push_back(c.input(k * n + i));
              for (int k = 0; k < shared; ++k) {
                inputs.push_back(c.input(own * n + k));
              }
              TensorType gradient = c.input(own * n + shared + i);
              if (c.dtype(0) == DType::kFloat32 &&
                  (gradient.dtype == DType::kFloat16 || gradient.dtype == DType::kBFloat16)) {
                gradient.dtype = DType::kFloat32;
              }
              inputs.push_back(gradient);
              if (update->is_guarded) inputs.push_back(c.input(c.input_count() - 1));
              c.require(c.dtype(i) == c.dtype(0), "variables of one dtype");
              const InferenceContext one(rule, str_cat("number ", i, " of a group"),
                                         std::move(inputs), c.attributes());
              variables.push_back(one.infer().front());
            }
            return variables;
          },
      .traits = {.mutated_inputs = {0}, .is_stateful = true},
      .attributes_of_op_in = "rule",
  };
}

}  // namespace

const UpdateFacts* dense_update(const OpDef& op) {
  return op.update && !op.update->is_sparse ? &*op.update : nullptr;
}

Node& grouped_update(Graph& graph, const OpDef& op, Attributes attributes,
                     const std::vector<std::vector<Value>>& updates, std::string name) {
  const UpdateFacts& update = *dense_update(op);
  std::vector<Value> inputs;
  for (int k = 0; k < update.own(); ++k) {
    for (const auto& one : updates) inputs.push_back(one.at(static_cast<size_t>(k)));
  }
  for (int k = 0; k < update.shared(); ++k) {
    inputs.push_back(updates.at(0).at(static_cast<size_t>(update.own() + k)));
  }
  for (const auto& one : updates) {
    inputs.push_back(one.at(static_cast<size_t>(update.gradient_input())));
  }
  if (update.is_guarded) {
    inputs.push_back(updates.at(0).at(static_cast<size_t>(update.guard_input())));
  }
  const auto count = static_cast<int64_t>(updates.size());
  attributes.set("rule", op.name);
  attributes.set("tensors", count);
  attributes.set("mutated", update.own() * count);
  return graph.add("GroupedUpdate", std::move(inputs), std::move(attributes), std::move(name));
}

}  // namespace trireme::ops

namespace trireme {

void register_grouped_update_ops(OpTable& table) { table.add(ops::grouped_update_op(table)); }

}  // namespace trireme
