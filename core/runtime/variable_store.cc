#include "core/runtime/variable_store.h"

#include "core/base/error.h"

namespace trireme {

void VariableStore::set(const std::string& name, const Tensor& value, const std::string& device) {
  auto it = variables_.find(name);
  if (it == variables_.end()) {
    const std::string where = device.empty() ? devices_.all().front()->name() : device;
    auto buffer = allocate_for(devices_.find(where), value.bytes(),
                               str_cat("variable '", name, "' (", value.type(), ")"));
    it = variables_.emplace(name, Variable{Tensor(value.dtype(), value.shape(), buffer), where})
             .first;
  }
  Variable& variable = it->second;
  if (variable.tensor.type() != value.type()) {
    throw invalid_argument("variable '", name, "' is ", variable.tensor.type(),
                           ", cannot be set to ", value.type());
  }
  devices_.find(variable.device).copy_from_host(variable.tensor, value);
}

Tensor VariableStore::get(const std::string& name) const {
  auto it = variables_.find(name);
  if (it == variables_.end()) throw not_found("there is no variable '", name, "'");
  return devices_.find(it->second.device).copy_to_host(it->second.tensor);
}

std::string VariableStore::home(const std::string& name) const {
  const auto it = variables_.find(name);
  return it != variables_.end() && it->second.in_use ? it->second.device : "";
}

std::vector<std::string> VariableStore::names() const {
  std::vector<std::string> names;
  for (const auto& [name, variable] : variables_) names.push_back(name);
  return names;
}

std::map<std::string, Tensor> VariableStore::snapshot() const {
  std::map<std::string, Tensor> copies;
  for (const auto& [name, variable] : variables_) copies.emplace(name, get(name));
  return copies;
}

Tensor& VariableStore::at(const std::string& name, const TensorType& expected,
                          const std::string& device) {
  auto it = variables_.find(name);
  if (it == variables_.end()) {
    throw not_found("variable '", name, "' (", expected,
                    ") has no value yet: set it before the run");
  }
  Variable& variable = it->second;
  if (variable.tensor.type() != expected) {
    throw invalid_argument("variable '", name, "': the graph expects ", expected, ", found ",
                           variable.tensor.type());
  }
  if (variable.device != device && !variable.in_use) {
    // Placement, which comes after the first value, may have its reasons.
    const Tensor value = get(name);
    variables_.erase(it);
    set(name, value, device);
    return at(name, expected, device);
  }
  variable.in_use = true;
  if (variable.device != device) {
    throw invalid_argument("variable '", name, "' lives on ", variable.device,
                           ", the graph has it on ", device);
  }
  return variable.tensor;
}

}  // namespace trireme
