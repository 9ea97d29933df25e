#include "core/graph/rewrite.h"

#include "core/base/error.h"

namespace trireme {

Node& GraphCopier::copy(const Node& node, NodeChanges changes) {
  TRIREME_CHECK(&node.graph() == &from_, "'", node.name(), "' is not of the graph that is copied");
  std::vector<Value> inputs = changes.inputs ? std::move(*changes.inputs) : map(node.inputs());
  Node& copy = to_.add(changes.op ? *changes.op : node.op().name, std::move(inputs),
                       changes.attributes ? std::move(*changes.attributes) : node.attributes(),
                       changes.name ? *changes.name : node.name());
  copy.set_device(changes.device ? std::move(*changes.device) : node.device());
  for (const Node* control : node.control_inputs()) {
    if (has(*control)) {
      copy.add_control_input(&map(*control));
    } else {
      waiting_[control].push_back(&copy);
    }
  }
  replace(node, copy);
  return copy;
}

void GraphCopier::copy_rest() {
  for (const auto& node : from_.nodes()) {
    if (!has(*node)) copy(*node);
  }
}

void GraphCopier::replace(Value old, Value now) {
  TRIREME_CHECK(&old.graph() == &from_ && &now.graph() == &to_, "values of the wrong graphs");
  values_[old] = now;
}

void GraphCopier::replace(const Node& old, Node& now) {
  TRIREME_CHECK(&old.graph() == &from_ && &now.graph() == &to_, "nodes of the wrong graphs");
  const int outputs = std::min(old.output_count(), now.output_count());
  for (int i = 0; i < outputs; ++i) values_[{const_cast<Node*>(&old), i}] = now.output(i);
  set_node(old, now);
}

void GraphCopier::set_node(const Node& old, Node& now) {
  nodes_[&old] = &now;
  auto it = waiting_.find(&old);
  if (it == waiting_.end()) return;
  for (Node* node : it->second) {
    if (node != &now) node->add_control_input(&now);
  }
  waiting_.erase(it);
}

Value GraphCopier::map(Value old) const {
  auto it = values_.find(old);
  TRIREME_CHECK(it != values_.end(), "output ", old.index, " of ", old.node->op().name, " '",
                old.node->name(), "' has no counterpart in the new graph");
  return it->second;
}

Node& GraphCopier::map(const Node& old) const {
  auto it = nodes_.find(&old);
  TRIREME_CHECK(it != nodes_.end(), old.op().name, " '", old.name(),
                "' has no counterpart in the new graph");
  return *it->second;
}

std::vector<Value> GraphCopier::map(const std::vector<Value>& old) const {
  std::vector<Value> now;
  for (const Value& value : old) now.push_back(map(value));
  return now;
}

Users::Users(const Graph& graph) : controlled_(graph.nodes().size()) {
  for (const auto& node : graph.nodes()) {
    for (const Value& input : node->inputs()) users_[input].push_back(node.get());
    for (const Node* control : node->control_inputs()) {
      controlled_[static_cast<size_t>(control->id())] = true;
      controlled_[static_cast<size_t>(node->id())] = true;
    }
  }
}

const std::vector<Node*>& Users::of(Value value) const {
  static const std::vector<Node*> kNone;
  auto it = users_.find(value);
  return it == users_.end() ? kNone : it->second;
}

}  // namespace trireme
