// The table that Model::summary() returns.
#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

std::string with_commas(int64_t n) {
  std::string text = std::to_string(n);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<size_t>(at), ",");
  }
  return text;
}

// At least one space stands between two columns.
void append_cell(std::string& line, const std::string& text, size_t end) {
  line += text;
  line.append(line.size() < end ? end - line.size() : 1, ' ');
}

}  // namespace

std::string Model::summary() const {
  TRIREME_CHECK(is_built(), "build() comes first");
  struct Row {
    std::string layer, shape, parameters;
  };
  std::vector<Row> rows = {{"Layer (type)", "Output Shape", "Param #"}};
  std::unordered_map<std::string, int64_t> counts;  // by layer
  for (const auto& layer : layers_) counts[layer->name()] = 0;
  int64_t trainable = 0, fixed = 0;
  for (const VariableSpec& spec : variables_.all()) {
    if (spec.role == VariableRole::kSlot) continue;
    // "LAYER/…", where a layer's name may have a slash, too.
    for (size_t end = 0; (end = spec.name.find('/', end)) != std::string::npos; ++end) {
      const auto layer = counts.find(spec.name.substr(0, end));
      if (layer == counts.end()) continue;
      const int64_t elements = spec.value.shape().elements();
      layer->second += elements;
      (spec.role == VariableRole::kTrainable ? trainable : fixed) += elements;
    }
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    rows.push_back({str_cat(layers_[i]->name(), " (", layers_[i]->type(), ")"),
                    inference_.outputs[i].value.shape().to_string(),
                    with_commas(counts[layers_[i]->name()])});
  }
  size_t first = 28, second = 24;
  for (const Row& row : rows) {
    first = std::max(first, row.layer.size() + 2);
    second = std::max(second, row.shape.size() + 2);
  }
  const size_t width = first + second + 13;
  const std::string thin = std::string(width, '_') + '\n', thick = std::string(width, '=') + '\n';

  std::string text = str_cat("Model: \"", options_.name, "\"\n", thin);
  for (const Row& row : rows) {
    std::string line;
    append_cell(line, row.layer, first);
    append_cell(line, row.shape, first + second);
    text += line + row.parameters + '\n';
    if (&row == &rows.front()) text += thick;
  }
  return str_cat(text, thick, "Total params: ", with_commas(trainable + fixed),
                 "\nTrainable params: ", with_commas(trainable),
                 "\nNon-trainable params: ", with_commas(fixed), '\n', thin);
}

}  // namespace trireme::nn
