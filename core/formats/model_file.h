// A model as a file holds it, whatever its format: layers, weights and the state of a training.
// Each format reads its files into a ModelFile and writes a ModelFile to them (format.h), so any
// format converts to any other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"
#include "core/nn/losses.h"
#include "core/nn/metrics.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"

namespace trireme::formats {

struct ModelInput {
  std::string name;
  TensorType type;  // with the batch, -1, in front
};

struct OutputTraining {
  std::string output;  // the name of its layer; empty: the first output
  std::shared_ptr<nn::LossOptions> loss;
  double weight = 1;
  std::vector<std::shared_ptr<nn::MetricOptions>> metrics, weighted_metrics;
  std::string labels;  // the component of the data that it is compared with; empty: the label
};

// How the model was trained, where the file says so.
struct TrainingPart {
  std::shared_ptr<nn::Optimizer> optimizer;  // null: the file does not say
  std::vector<OutputTraining> outputs;       // empty: the file does not say
  int64_t step = 0;                          // steps taken
  // The optimizer's slots by nn::slot_name(), such as "optimizer/adam/m/dense/kernel".
  nn::StateMap slots;
};

struct ModelFile {
  std::string place;  // the file, for messages
  std::string name = "model";
  // The components of the data's features, in their order; empty: the file does not say.
  std::vector<ModelInput> inputs;
  // Each with a name, and with `inputs` where it is called on something else than the layer above:
  // "feature_0" is the first of `inputs`. Inputs come before their use. Empty: the file has weights
  // only.
  std::vector<std::shared_ptr<nn::Layer>> layers;
  std::vector<std::string> outputs;  // names of layers; empty: the last one
  // "dense/kernel": as nn::Model names its variables. Of a file that has weights only, and that was
  // read without a model, the file's own names.
  nn::StateMap weights;
  std::optional<TrainingPart> training;
  // The model as the text of a job file. Whoever writes a file may give it, and formats that have
  // room for texts of others (SavedModel, ONNX, safetensors) keep it beside what their own readers
  // look at. What has only this is no network yet.
  std::string job_text;
  // What a training's data went through before the model, as data::preprocessing_text() has it;
  // only Trireme's own files have it.
  std::string preprocessing;
  // What the file says that could not be taken over, a sentence each. A reader drops nothing
  // silently: what changes predictions is an Error instead.
  std::vector<std::string> notes;
};

// The layers of `file`, each called on what its `inputs` name.
struct CalledLayers {
  std::vector<nn::LayerOutput> inputs, outputs;
  std::vector<std::string> output_names;  // of layers
};
// Throws Error{kInvalidArgument} naming the place when there are no layers or inputs, or for a name
// that is of nothing above.
CalledLayers call_layers(const ModelFile& file);

// The built model, with the weights of `file`; its layers are those of `file`. Throws
// Error{kInvalidArgument} naming the place when there are no layers or inputs, or weights that are
// missing or of another shape.
std::unique_ptr<nn::Model> make_model(const ModelFile& file, nn::ModelOptions options = {});

// The same with the first values of its variables, whatever weights `file` has.
std::unique_ptr<nn::Model> make_network(const ModelFile& file, nn::ModelOptions options = {});

// Layers, inputs, outputs and weights of a built model.
ModelFile model_file_of(const nn::Model& model);

}  // namespace trireme::formats
