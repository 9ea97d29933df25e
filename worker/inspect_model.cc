#include "worker/inspect_model.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/catalogs.h"
#include "worker/model_files.h"
#include "worker/model_formats.h"
#include "worker/model_text.h"
#include "worker/trireme_format.h"

namespace trireme {
namespace {

using formats::ModelFile;

std::string shown(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string layers_text(const ModelFile& file, const nn::Catalogs& catalogs) {
  std::string text = str_cat(file.layers.size(), " layers:\n");
  for (const auto& layer : file.layers) {
    const CatalogEntry* const entry = catalogs.layers.entry_of(*layer);
    text += str_cat("  ", layer->name(), ": ", entry != nullptr ? entry->name : layer->type());
    if (!layer->inputs().empty()) text += " of " + shown(layer->inputs());
    text += "\n";
  }
  return text;
}

std::string training_text(const formats::TrainingPart& training) {
  std::string text = str_cat("training: step ", training.step);
  if (training.optimizer) text += ", " + training.optimizer->name();
  if (!training.slots.empty()) text += str_cat(", ", training.slots.size(), " slots");
  return text + "\n";
}

std::string weights_text(const nn::StateMap& weights) {
  size_t width = 0;
  int64_t elements = 0;
  for (const auto& [name, value] : weights)
    width = std::max(width, std::min<size_t>(name.size(), 64));
  std::string text;
  for (const auto& [name, value] : weights) {
    text += str_cat("  ", name, std::string(width - std::min(width, name.size()) + 2, ' '),
                    value.type(), "\n");
    elements += value.elements();
  }
  return str_cat(weights.size(), " weights of ", elements, " numbers:\n", text);
}

std::string print(const std::string& path, const JobSchema& schema,
                  const std::vector<formats::Format>& all) {
  const formats::Format& format = format_of(path, all);
  ModelFile file = format.read(path, {.catalogs = &schema.catalogs(), .model = nullptr});
  std::string text = str_cat(path, ": a model of format ", format.name, " (", format.help, ")\n");
  text += "name: " + file.name + "\n";
  // What a text of a job says is read as a network, too.
  if (file.layers.empty() && !file.job_text.empty()) {
    const ModelFile described = parse_model(schema, file.job_text, path + ": its job");
    file.layers = described.layers;
    file.outputs = described.outputs;
    if (file.inputs.empty()) file.inputs = described.inputs;
  }
  for (const auto& input : file.inputs) {
    text += str_cat("input ", input.name, ": ", input.type, "\n");
  }
  if (!file.layers.empty()) text += layers_text(file, schema.catalogs());
  if (!file.outputs.empty()) text += "outputs: " + shown(file.outputs) + "\n";
  if (file.training) text += training_text(*file.training);
  text += weights_text(file.weights);
  for (const std::string& note : file.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace

io::Inspector model_inspector(std::shared_ptr<const JobSchema> schema) {
  auto all = std::make_shared<const std::vector<formats::Format>>(model_formats(schema));
  return {"a model of another format (SavedModel, Keras, ONNX, safetensors, an exported folder)",
          [all](const std::string& path) {
            return !is_own_checkpoint(path) &&
                   std::ranges::any_of(*all, [&](const auto& one) { return one.detect(path); });
          },
          [all, schema](const std::string& path) { return print(path, *schema, *all); }};
}

}  // namespace trireme
