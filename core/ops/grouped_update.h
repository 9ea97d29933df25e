// GroupedUpdate: many dense updates by one rule as one op, so that a device does them all at once.
#pragma once

#include <optional>

#include "core/graph/graph.h"

namespace trireme::ops {

// Where the inputs of a dense update op stand: a variable and its slots, what all updates of a step
// share (lr, step), the gradient, and for an op "…If" what it waits for.
struct DenseUpdate {
  int own = 1, shared = 0;
  bool has_guard = false;

  int gradient_input() const { return own + shared; }
  int guard_input() const { return gradient_input() + 1; }
};
// Nothing when `op` is not one.
std::optional<DenseUpdate> dense_update(const OpDef& op);

// The updates of one op, with equal attributes, shared inputs and guards, as one node of `graph`.
// `updates`: the inputs of each, values of `graph`; the gradient of an f32 variable may be f16 or
// bf16. Output i is the new value of the i-th variable.
Node& grouped_update(Graph& graph, const OpDef& op, Attributes attributes,
                     const std::vector<std::vector<Value>>& updates, std::string name);

}  // namespace trireme::ops
