// A Graph owns Nodes; a Value is one output of a node. This is the only program that Trireme runs.
//
// A graph only grows: passes build a new one (see rewrite.h). Nodes are kept in the order in which
// they were added, which is a topological order because a node's inputs exist before it. Not
// synchronised; building happens on one thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/graph/op_def.h"

namespace trireme {

class Node;

// A handle, valid as long as its graph.
struct Value {
  Node* node = nullptr;
  int index = 0;

  bool defined() const { return node != nullptr; }
  const TensorType& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  Graph& graph() const;
  bool operator==(const Value&) const = default;
};

struct ValueHash {
  size_t operator()(const Value& v) const {
    return std::hash<const void*>()(v.node) * 31 + static_cast<size_t>(v.index);
  }
};

class Node {
 public:
  int id() const { return id_; }                     // position in graph().nodes()
  const std::string& name() const { return name_; }  // unique in the graph
  const OpDef& op() const { return *op_; }
  Graph& graph() const { return *graph_; }

  const std::vector<Value>& inputs() const { return inputs_; }
  Value input(int i) const { return inputs_.at(static_cast<size_t>(i)); }
  int output_count() const { return static_cast<int>(outputs_.size()); }
  Value output(int i = 0) { return {this, i}; }
  const TensorType& output_type(int i = 0) const { return outputs_.at(static_cast<size_t>(i)); }

  const Attributes& attributes() const { return attributes_; }
  template <typename T>
  const T& attribute(std::string_view name) const {
    return attributes_.get<T>(name);
  }

  // Nodes that must have run before this one though no data flows between them.
  const std::vector<Node*>& control_inputs() const { return control_inputs_; }
  void add_control_input(Node* node);

  // Where the node must run, e.g. "/device:CPU:1"; empty: wherever the placer likes.
  const std::string& device() const { return device_; }
  void set_device(std::string device) { device_ = std::move(device); }

 private:
  friend class Graph;
  int id_ = 0;
  std::string name_;
  const OpDef* op_ = nullptr;
  Graph* graph_ = nullptr;
  std::vector<Value> inputs_;
  std::vector<Node*> control_inputs_;
  std::vector<TensorType> outputs_;
  Attributes attributes_;
  std::string device_;
};

class Graph {
 public:
  explicit Graph(std::shared_ptr<const OpTable> ops) : ops_(std::move(ops)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  const std::shared_ptr<const OpTable>& ops() const { return ops_; }

  // Adds a node and infers its output types. `name` is made unique by a suffix ("_1"); empty: the
  // op's name in lower case. Throws invalid_argument naming op, inputs and shapes when they do not
  // fit.
  Node& add(std::string_view op, std::vector<Value> inputs, Attributes attributes = {},
            std::string name = "");

  const std::vector<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  Node* find(std::string_view name) const;  // null when there is none
  int size() const { return static_cast<int>(nodes_.size()); }

  // The names of the open scopes: "training/conv1/".
  const std::string& scope() const { return prefix_; }

  // Nodes added while a scope is open get its name as prefix ("conv1/") and its device.
  class Scope {
   public:
    Scope(Graph& graph, const std::string& name, const std::string& device = "");
    ~Scope();
    Scope(const Scope&) = delete;

   private:
    Graph& graph_;
    std::string saved_prefix_, saved_device_;
  };

 private:
  std::string unique_name(const std::string& wanted);

  std::shared_ptr<const OpTable> ops_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::unordered_map<std::string, Node*> by_name_;
  std::unordered_map<std::string, int> next_suffix_;
  std::string prefix_, device_;
};

inline const TensorType& Value::type() const { return node->output_type(index); }
inline Graph& Value::graph() const { return node->graph(); }

}  // namespace trireme
