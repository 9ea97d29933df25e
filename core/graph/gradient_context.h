// What an op's gradient rule sees: the node that is differentiated, and the gradients that arrived
// at its outputs.
#pragma once

#include <optional>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

// The gradient of one value. Dense: `values` has the value's shape. Sparse (of a table that was
// looked up): row `indices[i]` gets `values[i]`, rows that repeat add up, and `dense_shape` is the
// table's.
struct Gradient {
  Value values;
  std::optional<Value> indices;
  Shape dense_shape;

  bool defined() const { return values.defined(); }
  bool is_sparse() const { return indices.has_value(); }
};

class GradientContext {
 public:
  GradientContext(Node& node, std::vector<Value> output_gradients)
      : node_(node),
        output_gradients_(std::move(output_gradients)),
        input_gradients_(node.inputs().size()) {}

  Node& node() { return node_; }
  Graph& graph() { return node_.graph(); }
  Value input(int i) const { return node_.input(i); }
  Value output(int i) const { return node_.output(i); }
  template <typename T>
  const T& attribute(std::string_view name) const {
    return node_.attribute<T>(name);
  }

  bool has_grad_of_output(int i) const {
    return output_gradients_.at(static_cast<size_t>(i)).defined();
  }
  // REQUIRES: has_grad_of_output(i), which always holds for the only output of a node.
  Value grad_of_output(int i = 0) const { return output_gradients_.at(static_cast<size_t>(i)); }

  // Inputs whose gradient is not set get none: nothing flows back through them.
  void set_grad(int input, Value gradient) {
    input_gradients_.at(static_cast<size_t>(input)).values = gradient;
  }
  void set_sparse_grad(int input, Value indices, Value rows, const Shape& dense_shape) {
    input_gradients_.at(static_cast<size_t>(input)) = {rows, indices, dense_shape};
  }
  const std::vector<Gradient>& input_gradients() const { return input_gradients_; }

 private:
  Node& node_;
  std::vector<Value> output_gradients_;
  std::vector<Gradient> input_gradients_;
};

}  // namespace trireme
