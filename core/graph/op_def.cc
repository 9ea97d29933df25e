#include "core/graph/op_def.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace trireme {

std::vector<TensorType> InferenceContext::infer() const {
  try {
    require(
        input_count() >= op_.min_inputs && (op_.max_inputs < 0 || input_count() <= op_.max_inputs),
        op_.max_inputs < 0 ? str_cat("at least ", op_.min_inputs, " inputs")
        : op_.min_inputs == op_.max_inputs
            ? str_cat(op_.min_inputs, " inputs")
            : str_cat(op_.min_inputs, " to ", op_.max_inputs, " inputs"));
    for (int i : op_.traits.index_inputs) {
      require(dtype(i) == DType::kInt32 || dtype(i) == DType::kInt64,
              str_cat("indices of i32 or i64 as input ", i));
    }
    return op_.infer(*this);
  } catch (const Error& error) {
    std::string found;
    for (const TensorType& type : inputs_) found += (found.empty() ? "" : ", ") + type.to_string();
    const std::string attributes = attributes_.empty() ? "" : " with " + attributes_.to_string();
    throw Error(error.code(), str_cat(error.what(), "; found inputs ",
                                      found.empty() ? "none" : found, attributes))
        .with_context(str_cat(op_.name, " '", node_name_, "'"));
  }
}

void InferenceContext::require(bool condition, std::string_view expectation) const {
  if (!condition) throw invalid_argument("expected ", expectation);
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
  if (op == nullptr) {
    throw invalid_argument("there is no op '", printable(name), "'", did_you_mean(name, names()));
  }
  return *op;
}

void OpTable::complete(const OpDef& op, std::string_view node_name, Attributes& attributes) const {
  const auto check = [&](const std::vector<AttributeDef>& defs, const Attributes& given) {
    const std::string fault = attribute_fault(defs, given);
    if (!fault.empty()) throw invalid_argument(op.name, " '", node_name, "': ", fault);
  };
  const std::string& naming = op.attributes_of_op_in;
  if (naming.empty()) {
    check(op.attributes, attributes);
    return add_defaults(op.attributes, attributes);
  }
  // First the name of the other op: without it the rest cannot be told right from wrong.
  std::vector<AttributeDef> defs = op.attributes;
  Attributes name;
  for (const auto& [key, value] : attributes) {
    if (key == naming) name.set(key, value);
  }
  check({*std::ranges::find(defs, naming, &AttributeDef::name)}, name);
  const OpDef* const other = find_or_null(name.get<std::string>(naming));
  if (other == nullptr) {
    throw invalid_argument(op.name, " '", node_name, "': attribute '", naming,
                           "': expected an op, found ", trireme::to_string(name.begin()->second));
  }
  defs.insert(defs.end(), other->attributes.begin(), other->attributes.end());
  check(defs, attributes);
  add_defaults(defs, attributes);
}

std::vector<std::string> OpTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, op] : ops_) names.push_back(name);
  return names;
}

}  // namespace trireme
