// The graph of a model's predictions, from which files of graphs are written: unoptimised, without
// a session and without copies of the weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/formats/model_file.h"

namespace trireme::formats {

struct InferenceGraph {
  std::unique_ptr<Graph> graph;
  nn::VariableRegistry variables;
  std::vector<Value> features;            // placeholders, in the order of ModelFile::inputs
  std::vector<Value> outputs;             // of the model
  std::vector<std::string> input_names;   // those of ModelFile::inputs, else "feature_0" …
  std::vector<std::string> output_names;  // of layers
};

// Throws Error{kInvalidArgument} as make_model() does, weights that are missing or of another shape
// included.
InferenceGraph inference_graph(const ModelFile& file);

}  // namespace trireme::formats
