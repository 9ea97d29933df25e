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
    std::string layer, shape, parameters, inputs;
  };
  std::vector<Row> rows = {{"Layer (type)", "Output Shape", "Param #", "Connected to"}};
  const auto& layers = network_.layers();
  std::unordered_map<std::string, int64_t> counts;  // by layer
  for (const auto& layer : layers) counts[layer->name()] = 0;
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
  for (const auto& layer : layers) {
    rows.push_back({str_cat(layer->name(), " (", layer->type(), ")"), "",
                    with_commas(counts[layer->name()]), ""});
  }
  // A layer that is called several times has one line: its shape is that of its first call.
  for (size_t i = 0; i < network_.calls().size(); ++i) {
    const LayerCall& call = network_.calls()[i];
    Row& row = rows[call.layer + 1];
    if (call.repeat == 0) row.shape = inference_.outputs[i].value.shape().to_string();
    for (const ValueSource& source : call.inputs) {
      row.inputs += (row.inputs.empty() ? "" : ", ") + network_.name_of(source);
    }
  }
  const bool shows_inputs = !network_.is_row();
  size_t first = 28, second = 24, third = shows_inputs ? 12 : 0, fourth = 0;
  for (const Row& row : rows) {
    first = std::max(first, row.layer.size() + 2);
    second = std::max(second, row.shape.size() + 2);
    if (!shows_inputs) continue;
    third = std::max(third, row.parameters.size() + 2);
    fourth = std::max(fourth, row.inputs.size());
  }
  const size_t width = first + second + (shows_inputs ? third + fourth : 13);
  const std::string thin = std::string(width, '_') + '\n', thick = std::string(width, '=') + '\n';

  std::string text = str_cat("Model: \"", options_.name, "\"\n", thin);
  for (const Row& row : rows) {
    std::string line;
    append_cell(line, row.layer, first);
    append_cell(line, row.shape, first + second);
    if (shows_inputs) {
      append_cell(line, row.parameters, first + second + third);
      text += line + row.inputs + '\n';
    } else {
      text += line + row.parameters + '\n';
    }
    if (&row == &rows.front()) text += thick;
  }
  return str_cat(text, thick, "Total params: ", with_commas(trainable + fixed),
                 "\nTrainable params: ", with_commas(trainable),
                 "\nNon-trainable params: ", with_commas(fixed), '\n', thin);
}

}  // namespace trireme::nn
