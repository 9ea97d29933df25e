// The variables of Trireme's layers as those of Keras's objects: a layer of Keras may keep them in
// parts of its own ("cell", "query_dense"), in an order of its own, and with heads as an axis.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/formats/keras/keras_weights.h"
#include "core/nn/layer.h"

namespace trireme::formats {

// A variable of a KerasObject.
struct VariableBinding {
  std::string name;  // of ours; empty: only Keras has it, and `fixed` is its value
  TensorType type;   // of ours
  Shape keras_shape;
  bool is_trained = true;
  Tensor fixed = {};
};

// Adds the variables of `layer`, those of `specs` whose names begin with `scope` ("dense/"), to
// `object` and its children, and to `bindings` in the order of for_each_variable(). Throws
// Error{kInvalidArgument} for a variable that Keras's layer has no place for.
void bind_variables(const nn::Layer& layer, const std::string& scope,
                    std::span<const nn::VariableSpec> specs, KerasObject& object,
                    std::vector<VariableBinding>& bindings);

// The variables of an object, then those of its children, as Keras lists a model's.
template <typename Visit>
void for_each_variable(KerasObject& object, const Visit& visit) {
  for (KerasVariable& variable : object.variables) visit(object, variable);
  for (KerasObject& child : object.children) for_each_variable(child, visit);
}

// `value`, of Keras's shape, as ours, and back. Throws Error{kInvalidArgument} naming `place` when
// it has another shape.
Tensor from_keras(const VariableBinding& binding, const Tensor& value, const std::string& place);
Tensor to_keras(const VariableBinding& binding, const Tensor& value);

}  // namespace trireme::formats
