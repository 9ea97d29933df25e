// GroupedUpdate: many dense updates by one rule as one op, so that a device does them all at once.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace trireme::ops {

// The facts of a dense update, or null.
const UpdateFacts* dense_update(const OpDef& op);

// The updates of one op, with equal attributes, shared inputs and guards, as one node of `graph`.
// `updates`: the inputs of each, values of `graph`; the gradient of an f32 variable may be f16 or
// bf16. Output i is the new value of the i-th variable.
Node& grouped_update(Graph& graph, const OpDef& op, Attributes attributes,
                     const std::vector<std::vector<Value>>& updates, std::string name);

}  // namespace trireme::ops
