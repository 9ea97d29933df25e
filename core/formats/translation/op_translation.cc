#include "core/formats/translation/op_translation.h"

#include <algorithm>
#include <unordered_set>

namespace trireme::formats {
namespace {

// The first row of which `matches` holds.
template <typename Matches>
const OpTranslation* find_row(const Matches& matches) {
  const auto rows = op_translations();
  const auto found = std::ranges::find_if(rows, matches);
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

const OpTranslation* translation_of(std::string_view op) {
  return find_row([&](const OpTranslation& row) { return row.op == op; });
}

const OpTranslation* translation_from_tensorflow(std::string_view tensorflow_op) {
  return find_row([&](const OpTranslation& row) { return row.tensorflow.name == tensorflow_op; });
}

const OpTranslation* translation_from_onnx(std::string_view onnx_op) {
  return find_row([&](const OpTranslation& row) { return row.onnx.name == onnx_op; });
}

std::vector<const Node*> needed_nodes(std::span<const Value> outputs) {
  std::unordered_set<const Node*> needed;
  std::vector<const Node*> open;
  const auto need = [&](Value value) {
    if (needed.insert(value.node).second) open.push_back(value.node);
  };
  for (const Value& output : outputs) need(output);
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Value& input : node->inputs()) need(input);
  }
  std::vector<const Node*> nodes(needed.begin(), needed.end());
  std::ranges::sort(nodes, {}, [](const Node* node) { return node->id(); });
  return nodes;
}

void Untranslated::add(const Node& node, std::string_view reason) {
  const std::string op = str_cat(node.op().name, " (");
  for (const std::string& line : lines_) {
    if (line.starts_with(op) && line.ends_with(reason)) return;
  }
  lines_.push_back(str_cat(op, "\"", node.name(), "\"): ", reason));
}

void Untranslated::throw_if_any(std::string_view format) const {
  if (lines_.empty()) return;
  std::string all;
  for (const std::string& line : lines_) all += (all.empty() ? "" : "; ") + line;
  throw invalid_argument(format, ": expected ops that it has, found ", lines_.size(),
                         " without translation: ", all);
}

}  // namespace trireme::formats
