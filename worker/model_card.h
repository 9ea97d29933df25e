// The model card of an exported model: text in Markdown with front matter in YAML, as Hugging Face
// reads it. Private to worker/.
#pragma once

#include <string>
#include <vector>

#include "core/formats/model_file.h"
#include "worker/model_package.h"

namespace trireme {

struct OutputType {
  std::string name;
  TensorType type;
};
// Of a built model, by the names of its layers.
std::vector<OutputType> output_types(const nn::Model& model);

// `config`: the text of config.json.
std::string card_text(const formats::ModelFile& file, const std::string& config,
                      const ModelCard& card);

}  // namespace trireme
