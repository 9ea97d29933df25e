// A network as Keras's Functional models have it: layers and operations of Keras, each called once.
// For the sources of this folder only.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/formats/keras/json.h"
#include "core/formats/keras/layer_variables.h"
#include "core/formats/model_file.h"
#include "core/nn/catalogs.h"

namespace trireme::formats {

// "float32".
std::string keras_dtype(DType dtype);
std::optional<DType> dtype_from_keras(std::string_view name);

struct KerasArgument {
  std::string node;  // what that one gives; empty: `constant`
  Json constant;
};

// Of an inbound node.
struct KerasCall {
  std::vector<KerasArgument> arguments;
  bool is_list = false;  // the arguments are the elements of one list
  Json keywords = Json::object();
};

struct KerasNode {
  Json layer;  // module, class_name, config, registered_name
  std::string name;
  KerasCall call;
  TensorType type;     // of what it gives
  KerasObject object;  // a layer's, with its variables
  std::vector<VariableBinding> bindings;

  bool is_layer() const { return layer.at("module") == "keras.layers"; }
  bool is_input() const { return layer.at("class_name") == "InputLayer"; }
};

struct KerasGraph {
  std::string name;
  std::vector<KerasNode> nodes;  // in the order of Keras's Functional.layers
  std::vector<std::string> inputs, outputs;
  std::vector<std::string> output_layers;  // of ours, for each of `outputs`
};

// The network of `file`: layers that Keras lacks become several of Keras's. Throws
// Error{kInvalidArgument} naming the layer where Keras has nothing for it.
KerasGraph keras_graph(const ModelFile& file, const nn::Catalogs& catalogs);

// {"module": …, "class_name": "Sequential" or "Functional", "config": …}.
Json model_config(const KerasGraph& graph);
bool is_sequential(const KerasGraph& graph);
// Its variables without values, and in the order of for_each_variable() what they are.
KerasObject model_object(const KerasGraph& graph, std::vector<VariableBinding>& bindings);

// The order in which Keras lists layers: by their distance from the outputs, then as they are found
// from there.
void sort_as_keras(KerasGraph& graph);

}  // namespace trireme::formats
