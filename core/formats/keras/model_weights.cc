#include "core/formats/keras/model_weights.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

// Paths of variables as Keras 3 makes them: "lstm/lstm_cell/kernel".
void set_paths(KerasObject& object, const std::string& prefix) {
  const std::string path = prefix.empty() ? object.name : str_cat(prefix, "/", object.name);
  for (KerasVariable& variable : object.variables) {
    variable.path = str_cat(path, "/", variable.name);
  }
  for (KerasObject& child : object.children) set_paths(child, path);
}

// Describes the optimizer's variables in `weights`, of which the file has `found`. Null: its state
// is left out, which a note says where there is one.
std::unique_ptr<OptimizerVariables> expect_optimizer(size_t found,
                                                     const std::vector<VariableBinding>& bindings,
                                                     const ConfigContext& context, ModelFile& file,
                                                     KerasModelWeights& weights) {
  if (!file.training || !file.training->optimizer || found == 0) return nullptr;
  try {
    auto optimizer =
        std::make_unique<OptimizerVariables>(*file.training->optimizer, bindings, weights.model);
    const bool has_no_rate = found + 1 == optimizer->count() || found == 1;
    if (context.is_keras2 && has_no_rate) optimizer->leave_out_rate();
    const bool has_slots = found == optimizer->count();
    if (has_slots || found == optimizer->object(false).variables.size()) {
      weights.optimizer = optimizer->object(has_slots);
      return optimizer;
    }
    file.notes.push_back(str_cat(context.place, ": left out the optimizer's state: expected ",
                                 optimizer->count(), " variables, found ", found));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    file.notes.push_back(str_cat(context.place, ": left out the state of ", error.what()));
  }
  return nullptr;
}

}  // namespace

size_t optimizer_variables(const io::Hdf5File& hdf5, WeightLayout layout) {
  if (layout == WeightLayout::kKeras3) {
    const io::Hdf5Group* const group = hdf5.root().group("optimizer/vars");
    return group == nullptr ? 0 : group->datasets.size();
  }
  const io::Hdf5Group* const group = hdf5.root().group("optimizer_weights");
  const auto* const names = group == nullptr ? nullptr : group->texts("weight_names");
  return names == nullptr ? 0 : names->size();
}

void fill_weights(const ModelFile& file, const std::vector<VariableBinding>& bindings,
                  KerasObject& object) {
  auto binding = bindings.begin();
  for_each_variable(object, [&](const KerasObject&, KerasVariable& variable) {
    const VariableBinding& next = *binding++;
    if (next.name.empty()) {
      variable.value = next.fixed;
      return;
    }
    const auto found = file.weights.find(next.name);
    if (found == file.weights.end()) {
      throw invalid_argument(file.place, ": expected the weight \"", next.name, "\", found none");
    }
    if (found->second.type() != next.type) {
      throw invalid_argument(file.place, ": \"", next.name, "\": expected ", next.type, ", found ",
                             found->second.type());
    }
    variable.value = to_keras(next, found->second);
  });
}

void take_weights(KerasObject& object, const std::vector<VariableBinding>& bindings,
                  const std::string& place, nn::StateMap& weights) {
  auto binding = bindings.begin();
  for_each_variable(object, [&](const KerasObject&, const KerasVariable& variable) {
    const VariableBinding& next = *binding++;
    if (!next.name.empty()) weights[next.name] = from_keras(next, variable.value, place);
  });
}

void read_values(const io::Hdf5File& hdf5, WeightLayout layout, const Json& config,
                 const ConfigContext& context, ReadNetwork& network) {
  ModelFile& file = network.file;
  ConfigContext noting = context;
  noting.notes = &file.notes;
  if (config.is_object()) file.training = read_training(config, network.outputs, noting);

  KerasModelWeights weights{.model = network.model, .optimizer = {}};
  const auto optimizer =
      expect_optimizer(optimizer_variables(hdf5, layout), network.bindings, context, file, weights);
  layout == WeightLayout::kKeras3 ? read_weights(hdf5, weights)
                                  : read_legacy_weights(hdf5, weights);
  take_weights(weights.model, network.bindings, context.place, file.weights);
  if (optimizer && weights.optimizer) {
    optimizer->take(*weights.optimizer, context.place, *file.training);
  }
}

ModelFile read_into_model(const ModelFile& model, const std::string& path,
                          size_t optimizer_variables, const nn::Catalogs& catalogs,
                          const std::function<void(KerasModelWeights&)>& fill) {
  const KerasGraph graph = keras_graph(model, catalogs);
  ModelFile file;
  file.place = path;
  file.name = model.name;
  file.inputs = model.inputs;
  file.layers = model.layers;
  file.outputs = model.outputs;
  file.training = model.training;
  std::vector<VariableBinding> bindings;
  KerasModelWeights weights{.model = model_object(graph, bindings), .optimizer = {}};
  // Older checkpoints have slots by the names of variables.
  for (KerasObject& child : weights.model.children) set_paths(child, "");
  std::unique_ptr<OptimizerVariables> optimizer;
  if (file.training) {
    file.training->slots.clear();
    file.training->step = 0;
    const ConfigContext context{.catalogs = catalogs, .place = path};
    optimizer = expect_optimizer(optimizer_variables, bindings, context, file, weights);
  }
  fill(weights);
  take_weights(weights.model, bindings, path, file.weights);
  if (optimizer && weights.optimizer) optimizer->take(*weights.optimizer, path, *file.training);
  return file;
}

WrittenModel written_model(const ModelFile& file, const WriteOptions& options) {
  WrittenModel written;
  written.graph = keras_graph(file, *options.catalogs);
  written.config = model_config(written.graph);
  const ConfigContext context{
      .catalogs = *options.catalogs, .place = file.place, .notes = options.notes};

  std::vector<VariableBinding> bindings;
  written.weights.model = model_object(written.graph, bindings);
  for (KerasObject& child : written.weights.model.children) set_paths(child, "");
  fill_weights(file, bindings, written.weights.model);
  if (!file.training) return written;

  OutputNames outputs;
  for (size_t i = 0; i < written.graph.outputs.size(); ++i) {
    outputs.emplace_back(written.graph.outputs[i], written.graph.output_layers[i]);
  }
  written.training = write_training(*file.training, outputs, context);
  if (written.training.is_null()) return written;
  try {
    const OptimizerVariables optimizer(*file.training->optimizer, bindings, written.weights.model);
    written.weights.optimizer = optimizer.filled(*file.training, context);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    if (options.notes != nullptr) {
      options.notes->push_back(str_cat(file.place, ": left out the state of ", error.what()));
    }
  }
  return written;
}

}  // namespace trireme::formats
