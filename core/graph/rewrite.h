// Building a new graph from an old one: what every pass and every strategy does.
//
// A GraphCopier remembers what became of each old value and node. Copy nodes in the old graph's
// order; where something is to change, add other nodes and say with replace() what stands for the
// old value. Lives for one rewrite, on one thread; both graphs must outlive it.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

// What a copy has other than the original; what is not set is taken over.
struct NodeChanges {
  std::optional<std::string> op;
  std::optional<std::vector<Value>> inputs;  // values of the new graph
  std::optional<Attributes> attributes;
  std::optional<std::string> name;
  std::optional<std::string> device;
};

class GraphCopier {
 public:
  GraphCopier(const Graph& from, Graph& to) : from_(from), to_(to) {}
  GraphCopier(const GraphCopier&) = delete;

  Graph& to() const { return to_; }

  // Copies `node` with its name, attributes, device, inputs and control inputs, but for the
  // changes; its outputs then stand for the old ones. Control inputs that are not copied yet are
  // added when they are; those that never are (because nothing stands for them) are left out.
  // Throws Error{kInternal} when an input has no counterpart.
  Node& copy(const Node& node, NodeChanges changes = {});
  // All nodes that have no counterpart yet, in order.
  void copy_rest();

  // From now on `now`, of the new graph, stands for `old`.
  void replace(Value old, Value now);
  // All outputs of `old`, and `old` as a control input.
  void replace(const Node& old, Node& now);

  bool has(Value old) const { return values_.contains(old); }
  bool has(const Node& old) const { return nodes_.contains(&old); }
  // Throw Error{kInternal}, naming the node, when there is no counterpart.
  Value map(Value old) const;
  Node& map(const Node& old) const;
  std::vector<Value> map(const std::vector<Value>& old) const;

 private:
  void set_node(const Node& old, Node& now);

  const Graph& from_;
  Graph& to_;
  std::unordered_map<Value, Value, ValueHash> values_;
  std::unordered_map<const Node*, Node*> nodes_;
  // New nodes that wait for an old control input to be copied.
  std::unordered_map<const Node*, std::vector<Node*>> waiting_;
};

// Who uses what, in a graph that does not change meanwhile.
class Users {
 public:
  explicit Users(const Graph& graph);
  // The nodes that have `value` as input, in order; a node that uses it twice is there twice.
  const std::vector<Node*>& of(Value value) const;
  // True when some node has `node` as a control input, or it has some itself.
  bool has_control_edges(const Node& node) const {
    return controlled_.at(static_cast<size_t>(node.id()));
  }

 private:
  std::unordered_map<Value, std::vector<Node*>, ValueHash> users_;
  std::vector<bool> controlled_;
};

}  // namespace trireme
