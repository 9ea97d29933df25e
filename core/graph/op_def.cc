#include "core/graph/op_def.h"

#include "core/base/error.h"

namespace trireme {

void InferenceContext::require(bool condition, std::string_view expectation) const {
  if (condition) return;
  std::string found;
  for (const TensorType& type : inputs_) found += (found.empty() ? "" : ", ") + type.to_string();
  const std::string attributes = attributes_.empty() ? "" : " with " + attributes_.to_string();
  throw invalid_argument(op_.name, " '", node_name_, "': expected ", expectation, "; found inputs ",
                         found.empty() ? "none" : found, attributes);
}

void InferenceContext::require_same_dtype() const {
  for (int i = 1; i < input_count(); ++i) {
    require(dtype(i) == dtype(0), "inputs of one dtype");
  }
}

void InferenceContext::require_floating(int i) const {
  require(is_floating(dtype(i)), "a floating-point input");
}

void OpTable::add(OpDef op) {
  const std::string name = op.name;
  const bool added = ops_.emplace(name, std::make_unique<OpDef>(std::move(op))).second;
  TRIREME_CHECK(added, "op ", name, " is registered twice");
}

const OpDef* OpTable::find_or_null(std::string_view name) const {
  auto it = ops_.find(name);
  return it == ops_.end() ? nullptr : it->second.get();
}

const OpDef& OpTable::find(std::string_view name) const {
  const OpDef* op = find_or_null(name);
  if (op == nullptr) throw invalid_argument("there is no op '", name, "'");
  return *op;
}

std::vector<std::string> OpTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, op] : ops_) names.push_back(name);
  return names;
}

}  // namespace trireme
