// Writes SavedModels.
#pragma once

#include <string>

#include "core/formats/format.h"
#include "core/formats/inference_graph.h"

namespace trireme::formats {

// The folder appears whole or not at all; a SavedModel that is there is replaced. Its variables are
// in variables/, its signature is "serving_default", and its root can be called, too. The job,
// where the model has one, is in assets.extra/trireme/job.textproto. Training is left out. Throws
// Error{kInvalidArgument} naming all ops that TensorFlow has not.
void write_saved_model(const ModelFile& model, const std::string& path,
                       const WriteOptions& options);

// The same of a graph. `weights`: of its variables, and maybe more. `place`: for messages.
void write_graph_as_saved_model(const InferenceGraph& graph, const nn::StateMap& weights,
                                const std::string& job_text, const std::string& place,
                                const std::string& path);

}  // namespace trireme::formats
