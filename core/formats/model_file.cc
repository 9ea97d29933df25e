#include "core/formats/model_file.h"

#include <map>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

constexpr std::string_view kFeature = "feature_";

// The layers of `file`, each called on what its `inputs` name.
class Calls {
 public:
  explicit Calls(const ModelFile& file) : file_(file) {
    for (const ModelInput& input : file.inputs) inputs_.emplace_back(input.type);
    for (const auto& layer : file.layers) call(layer);
  }

  const std::vector<nn::LayerOutput>& inputs() const { return inputs_; }
  std::vector<nn::LayerOutput> outputs() const {
    if (file_.outputs.empty()) return {by_name_.at(file_.layers.back()->name())};
    std::vector<nn::LayerOutput> outputs;
    for (const std::string& name : file_.outputs) outputs.push_back(find(name, "the model"));
    return outputs;
  }

 private:
  void call(const std::shared_ptr<nn::Layer>& layer) {
    if (layer->name().empty()) throw invalid_argument(file_.place, ": a layer without a name");
    std::vector<nn::LayerOutput> values;
    for (const std::string& name : layer->inputs()) values.push_back(find(name, layer->name()));
    if (values.empty()) values.push_back(last_ ? *last_ : inputs_.at(0));
    last_.emplace(layer, std::move(values));
    if (!by_name_.emplace(layer->name(), *last_).second) {
      throw invalid_argument(file_.place, ": two layers are named \"", layer->name(), "\"");
    }
  }

  nn::LayerOutput find(const std::string& name, const std::string& user) const {
    if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (name == str_cat(kFeature, i) || name == file_.inputs[i].name) return inputs_[i];
    }
    throw invalid_argument(file_.place, ": \"", user, "\" is called on \"", name,
                           "\", which is no layer above it and none of the ", inputs_.size(),
                           " inputs");
  }

  const ModelFile& file_;
  std::vector<nn::LayerOutput> inputs_;
  std::map<std::string, nn::LayerOutput> by_name_;
  std::optional<nn::LayerOutput> last_;
};

}  // namespace

CalledLayers call_layers(const ModelFile& file) {
  if (file.layers.empty()) {
    throw invalid_argument(file.place, ": expected a model with its layers, found weights only");
  }
  if (file.inputs.empty()) {
    throw invalid_argument(file.place, ": it does not say what shape the model's inputs have");
  }
  const Calls calls(file);
  CalledLayers called{calls.inputs(), calls.outputs(), file.outputs};
  if (called.output_names.empty()) called.output_names = {file.layers.back()->name()};
  return called;
}

std::unique_ptr<nn::Model> make_network(const ModelFile& file, nn::ModelOptions options) {
  const CalledLayers called = call_layers(file);
  options.name = file.name;
  auto model = std::make_unique<nn::Model>(called.inputs, called.outputs, std::move(options));
  model->build();
  return model;
}

std::unique_ptr<nn::Model> make_model(const ModelFile& file, nn::ModelOptions options) {
  auto model = make_network(file, std::move(options));
  model->set_weights(file.weights);
  return model;
}

ModelFile model_file_of(const nn::Model& model) {
  ModelFile file;
  file.name = model.options().name;
  file.place = str_cat("model \"", file.name, "\"");
  const nn::Network& network = model.network();
  const auto& features = model.inference().features;
  for (size_t i = 0; i < features.size(); ++i) {
    file.inputs.push_back({str_cat(kFeature, i), features[i].type()});
  }
  file.layers = network.layers();
  for (const nn::LayerCall& call : network.calls()) {
    if (call.repeat > 0) {
      throw invalid_argument(file.place, ": layer \"", network.layers()[call.layer]->name(),
                             "\" is called several times, which no file can say");
    }
    std::vector<std::string> names;
    for (const nn::ValueSource& source : call.inputs) names.push_back(network.name_of(source));
    network.layers()[call.layer]->set_inputs(std::move(names));
  }
  for (const nn::ValueSource& source : network.outputs()) {
    file.outputs.push_back(network.name_of(source));
  }
  file.weights = model.weights();
  return file;
}

}  // namespace trireme::formats
