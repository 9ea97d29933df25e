#include "core/graph/graph.h"

#include <algorithm>
#include <cctype>

#include "core/base/error.h"

namespace trireme {
namespace {

// "SparseSoftmaxCrossEntropy" → "sparse_softmax_cross_entropy"
std::string snake_case(std::string_view name) {
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool upper = std::isupper(static_cast<unsigned char>(name[i])) != 0;
    if (upper && i > 0 && !std::isupper(static_cast<unsigned char>(name[i - 1]))) text += '_';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return text;
}

}  // namespace

void Node::add_control_input(Node* node) {
  TRIREME_CHECK(node->graph_ == graph_, "a control input of another graph");
  if (std::ranges::find(control_inputs_, node) == control_inputs_.end()) {
    control_inputs_.push_back(node);
  }
}

Node& Graph::add(std::string_view op_name, std::vector<Value> inputs, Attributes attributes,
                 std::string name) {
  const OpDef& op = ops_->find(op_name);
  auto node = std::make_unique<Node>();
  node->name_ = unique_name(prefix_ + (name.empty() ? snake_case(op_name) : name));
  node->op_ = &op;
  node->graph_ = this;
  node->device_ = device_;
  node->attributes_ = std::move(attributes);
  ops_->complete(op, node->name_, node->attributes_);
  node->inputs_ = std::move(inputs);

  std::vector<TensorType> types;
  for (const Value& input : node->inputs_) {
    TRIREME_CHECK(input.defined() && input.node->graph_ == this, op_name, " '", node->name_,
                  "': an input is not of this graph");
    types.push_back(input.type());
  }
  node->outputs_ = InferenceContext(op, node->name_, std::move(types), node->attributes_).infer();
  node->id_ = size();
  by_name_[node->name_] = node.get();
  nodes_.push_back(std::move(node));
  return *nodes_.back();
}

Node* Graph::find(std::string_view name) const {
  auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : it->second;
}

std::string Graph::unique_name(const std::string& wanted) {
  if (!by_name_.contains(wanted)) return wanted;
  while (true) {
    std::string name = wanted + "_" + std::to_string(++next_suffix_[wanted]);
    if (!by_name_.contains(name)) return name;
  }
}

Graph::Scope::Scope(Graph& graph, const std::string& name, const std::string& device)
    : graph_(graph), saved_prefix_(graph.prefix_), saved_device_(graph.device_) {
  if (!name.empty()) graph.prefix_ += name + "/";
  if (!device.empty()) graph.device_ = device;
}

Graph::Scope::~Scope() {
  graph_.prefix_ = saved_prefix_;
  graph_.device_ = saved_device_;
}

}  // namespace trireme
