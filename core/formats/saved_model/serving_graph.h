// The graph of a SavedModel: the functions of the model, and around them what TensorFlow 1 and its
// servers run, with the signature that says where inputs and outputs are.
#pragma once

#include <string>
#include <vector>

#include "core/formats/inference_graph.h"
#include "proto/tf/meta_graph.pb.h"

namespace trireme::formats {

struct ServedValue {
  std::string key;       // in the signature
  std::string argument;  // of the functions
  TensorType type;
};

// A variable of the model, in the order in which the functions take them.
struct ServedVariable {
  std::string name;  // "dense/kernel"
  TensorType type;
  bool is_trainable = false;
  std::string checkpoint_key;  // in the bundle
};

struct ServingGraph {
  std::vector<ServedValue> inputs, outputs;  // in the model's order
  std::vector<ServedVariable> variables;
  std::string call_function;       // takes the inputs in their order, then the variables
  std::string signature_function;  // takes and gives them in the order of their keys
};

// The signature's inputs and outputs in the order in which TensorFlow takes a dictionary's.
std::vector<size_t> sorted_by_key(const std::vector<ServedValue>& values);

// Fills the graph, the signature "serving_default" and the saver. Throws Error{kInvalidArgument}
// naming all ops that have no translation.
ServingGraph write_serving_graph(const InferenceGraph& model, tf::MetaGraphDef& meta_graph);

}  // namespace trireme::formats
