#include "core/runtime/variable_store.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/tensor/mapped_buffer.h"

namespace trireme {
namespace {

bool is_mapped(const Tensor& tensor) {
  return dynamic_cast<const MappedBuffer*>(tensor.buffer().get()) != nullptr;
}

}  // namespace

void VariableStore::set(const std::string& name, const Tensor& value, const std::string& device) {
  auto it = variables_.find(name);
  const std::string where = it != variables_.end() ? it->second.device
                            : device.empty()       ? devices_.all().front()->name()
                                                   : device;
  const bool keeps_pages = is_mapped(value) && devices_.find(where).host_memory() &&
                           (it == variables_.end() || !it->second.in_use);
  if (it == variables_.end() && keeps_pages) {
    variables_.emplace(name, Variable{value, where});
    return;
  }
  if (it == variables_.end()) {
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
  if (keeps_pages) {
    variable.tensor = value;
    return;
  }
  own(name, variable);
  devices_.find(variable.device).copy_from_host(variable.tensor, value);
}

void VariableStore::own(const std::string& name, Variable& variable) {
  auto* const pages = dynamic_cast<MappedBuffer*>(variable.tensor.buffer().get());
  if (pages == nullptr) return;
  const TensorType& type = variable.tensor.type();
  Tensor copy(type.dtype, type.shape,
              allocate_for(devices_.find(variable.device), type.bytes(),
                           str_cat("variable '", name, "' (", type, ")")));
  // Piece by piece, each of which gives its pages back: whoever else has the tensor reads them from
  // the file again.
  constexpr size_t kPiece = 4 << 20;
  const auto* const from = static_cast<const char*>(variable.tensor.raw());
  const auto first = static_cast<size_t>(from - static_cast<const char*>(pages->data()));
  for (size_t done = 0; done < type.bytes(); done += kPiece) {
    const size_t n = std::min(kPiece, type.bytes() - done);
    std::memcpy(static_cast<char*>(copy.raw()) + done, from + done, n);
    pages->drop(first + done, n);
  }
  variable.tensor = std::move(copy);
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
  own(name, variable);
  variable.in_use = true;
  if (variable.device != device) {
    throw invalid_argument("variable '", name, "' lives on ", variable.device,
                           ", the graph has it on ", device);
  }
  return variable.tensor;
}

}  // namespace trireme
