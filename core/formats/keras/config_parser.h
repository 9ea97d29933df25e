// A model's configuration as a list of calls: what Keras 2 and 3 write for Sequential and
// Functional models, with models within models brought to one level. For the sources of this folder
// only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/formats/keras/keras_graph.h"

namespace trireme::formats {

// A layer or an operation, called once.
struct ParsedNode {
  std::string key;   // unique: "dense", "outer/dense" for one in the model "outer"
  std::string name;  // as Keras calls it
  std::string module, class_name;
  Json config;
  // References are keys of nodes; those of models and of inputs in models are resolved already.
  KerasCall call;
  std::map<std::string, std::vector<std::string>> references;  // keywords with tensors
  bool is_layer() const { return !module.starts_with("keras.src.ops") && module != "keras.ops"; }
};

// A model, and which of its parts are nodes and which models themselves.
struct ParsedModel {
  std::string class_name, name;
  std::vector<std::pair<size_t, bool>> parts;  // index into `nodes`, or (true) into `models`
  std::vector<std::string> outputs;            // keys
};

struct ParsedNetwork {
  std::vector<ParsedNode> nodes;
  std::vector<ParsedModel> models;  // the first is the whole
  std::vector<ModelInput> inputs;   // named by their keys
};

// `json`: with class_name and config. Throws Error{kDataLoss} or Error{kInvalidArgument} naming
// `place` and the layer.
ParsedNetwork parse_network(const Json& json, const std::string& place);

}  // namespace trireme::formats
