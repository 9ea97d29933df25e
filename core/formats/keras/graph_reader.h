// Makes a network of Trireme's layers of a configuration of Keras. For the sources of this folder
// only.
#pragma once

#include <string>
#include <vector>

#include "core/formats/keras/component_config.h"
#include "core/formats/keras/config_parser.h"
#include "core/formats/keras/layer_variables.h"
#include "core/formats/model_file.h"

namespace trireme::formats {

struct ReadNetwork {
  ModelFile file;                         // without weights
  KerasObject model;                      // variables without values, in Keras's order
  std::vector<VariableBinding> bindings;  // in the order of for_each_variable(model)
  // Of ours, for each output, as Keras calls it.
  std::vector<std::pair<std::string, std::string>> outputs;  // Keras's name, ours
};

// Throws Error{kInvalidArgument} naming `place`, the layer and the key for what there is no layer
// or option for.
ReadNetwork read_network(const Json& json, const std::string& place, bool is_keras2,
                         const nn::Catalogs& catalogs);

// A layer for an operation of Keras ("keras.src.ops.numpy", "Sum"), which is called on
// `arguments`; `type`: of its first tensor. Throws Error{kInvalidArgument} when there is none.
std::shared_ptr<nn::Layer> operation_layer(const ParsedNode& node, const TensorType& type,
                                           const ConfigContext& context);

}  // namespace trireme::formats
