// The rules that every graph obeys, whoever built or rewrote it, and the order in which its nodes
// may run.
//
// Functions only read the graph; call them from the thread that builds it. A broken rule is an
// invalid_argument that names the node, its op and the rule.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

// "/device:CPU:1" is kind "CPU" and index 1.
struct DeviceName {
  std::string kind;
  int index = 0;

  std::string to_string() const;
  bool operator==(const DeviceName&) const = default;
};
std::optional<DeviceName> parse_device_name(std::string_view text);

// The variable whose bytes `value` is: the value itself, or what it is a view of. Null when there
// is none.
const Node* variable_behind(Value value);
// What an update may change in place: a variable, or the new value that another update gave, which
// is the same memory a second time. Seen through views; nothing when `value` is neither.
std::optional<Value> updatable(Value value);
// The inputs that are updated in place: as the op's traits say, or, of an op whose number of inputs
// varies, so many from the first on as the attribute "mutated" says.
std::vector<int> mutated_inputs(const OpDef& op, const Attributes& attributes);
inline std::vector<int> mutated_inputs(const Node& node) {
  return mutated_inputs(node.op(), node.attributes());
}
// True when the kernel of `node` writes to one of its inputs.
inline bool is_update(const Node& node) { return !node.op().traits.mutated_inputs.empty(); }
// True when no kernel computes it: it is fed, kept, or given with the graph.
inline bool is_source(const Node& node) { return node.op().traits.source != Source::kNone; }
inline bool is_variable(const Node& node) { return node.op().traits.source == Source::kVariable; }
inline bool is_constant(const Node& node) { return node.op().traits.source == Source::kConstant; }
inline bool is_placeholder(const Node& node) { return node.op().traits.source == Source::kFed; }
// True when only the shape of input `i` counts.
bool lends_shape(const Node& node, size_t i);
// True when a device needs a kernel to run it.
inline bool needs_kernel(const Node& node) {
  const OpTraits& traits = node.op().traits;
  return !is_source(node) && !traits.is_view && !traits.is_copy;
}
// True when equal inputs give equal outputs and nothing else happens.
inline bool is_pure(const Node& node) {
  const OpTraits& traits = node.op().traits;
  return !traits.is_stateful && !traits.is_communication && traits.mutated_inputs.empty();
}

// By id, whether `roots` need a node: they themselves, their inputs and what those need. Nodes that
// are only to run before (control inputs) count, too, unless `data_only`.
std::vector<bool> needed_nodes(const Graph& graph, std::span<const Node* const> roots,
                               bool data_only = false);
// The same for the nodes that make `values`.
std::vector<bool> needed_nodes(const Graph& graph, std::span<const Value> values,
                               bool data_only = false);

// For each node, by id, the nodes that must run after it: those that use its outputs or have it as
// a control input, and behind a reader of a variable, that variable's update. May hold a pair
// twice.
std::vector<std::vector<int>> successors(const Graph& graph);

// Nodes in an order in which they may run: each after its inputs and control inputs, and an update
// of a variable after all other readers of that variable, through views too. Where the rules leave
// a choice, in the order in which they were added. Throws when there is no such order, naming the
// nodes that wait for each other.
std::vector<Node*> execution_order(const Graph& graph);

// Checks every rule:
//   - names are unique, and a node is found under its name;
//   - inputs are outputs of earlier nodes of this graph, as many as the op takes;
//   - output types are those that the op's shape rule infers from the inputs;
//   - what an op updates in place is a Variable node, and a variable is updated by one node at
//   most;
//   - control inputs are nodes of this graph, and an execution order exists;
//   - devices read "/device:KIND:INDEX".
void verify(const Graph& graph);

}  // namespace trireme
