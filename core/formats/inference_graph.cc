#include "core/formats/inference_graph.h"

#include "core/nn/train_state.h"
#include "core/ops/ops.h"

namespace trireme::formats {

InferenceGraph inference_graph(const ModelFile& file) {
  const CalledLayers called = call_layers(file);
  const nn::Network network(called.inputs, called.outputs);
  InferenceGraph made;
  made.graph = std::make_unique<Graph>(core_op_table());
  made.output_names = called.output_names;
  for (size_t i = 0; i < file.inputs.size(); ++i) {
    const ModelInput& input = file.inputs[i];
    made.input_names.push_back(input.name.empty() ? str_cat("feature_", i) : input.name);
    Shape shape = input.type.shape;
    if (shape.rank() > 0) shape.set(0, -1);
    made.features.push_back(
        ops::placeholder(*made.graph, made.input_names.back(), input.type.dtype, shape));
  }
  nn::BuildContext context(*made.graph, made.variables, made.features, false, {}, 1);
  for (const nn::LayerCall& call : network.calls()) {
    context.call(*network.layers()[call.layer], call);
  }
  for (const nn::ValueSource& output : network.outputs()) {
    made.outputs.push_back(context.value_of(output));
  }
  nn::check_state_matches(made.variables.all(), file.weights);
  return made;
}

}  // namespace trireme::formats
