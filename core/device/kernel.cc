#include "core/device/kernel.h"

#include <utility>

#include "core/base/error.h"
#include "core/graph/graph.h"

namespace trireme {

void KernelTable::add(std::string op, std::string_view device_kind, DType dtype,
                      KernelFactory factory) {
  const bool added =
      kernels_.emplace(Key{op, std::string(device_kind), dtype}, std::move(factory)).second;
  TRIREME_CHECK(added, "kernel ", op, " ", device_kind, " ", name(dtype), " is registered twice");
}

const KernelFactory* KernelTable::find(std::string_view op, std::string_view device_kind,
                                       DType dtype) const {
  auto it = kernels_.find(Key{std::string(op), std::string(device_kind), dtype});
  return it == kernels_.end() ? nullptr : &it->second;
}

std::vector<DType> KernelTable::dtypes(std::string_view op, std::string_view device_kind) const {
  std::vector<DType> found;
  for (const auto& [key, factory] : kernels_) {
    if (std::get<0>(key) == op && std::get<1>(key) == device_kind)
      found.push_back(std::get<2>(key));
  }
  return found;
}

void KernelTable::inherit(std::string_view from, std::string_view to) {
  std::vector<std::pair<Key, KernelFactory>> copies;
  for (const auto& [key, factory] : kernels_) {
    if (std::get<1>(key) == from) {
      copies.emplace_back(Key{std::get<0>(key), std::string(to), std::get<2>(key)}, factory);
    }
  }
  for (auto& [key, factory] : copies) kernels_.emplace(std::move(key), std::move(factory));
}

std::string KernelSpec::where() const { return str_cat(op.name, " '", node_name, "'"); }

void add_kernel(KernelTable& table, std::string op, std::string_view device_kind, DType dtype,
                KernelFactory factory) {
  table.add(std::move(op), device_kind, dtype, std::move(factory));
}

KernelSpec spec_of(const Node& node, const KernelTable& kernels, std::vector<TensorType> inputs,
                   std::vector<TensorType> outputs, Device* device) {
  return {.op = node.op(),
          .attributes = node.attributes(),
          .inputs = std::move(inputs),
          .outputs = std::move(outputs),
          .ops = *node.graph().ops(),
          .kernels = kernels,
          .node_name = node.name(),
          .device = device};
}

DType kernel_dtype(const KernelSpec& spec) {
  const int index = spec.op.traits.kernel_dtype_input;
  if (index < 0 || spec.inputs.empty()) return spec.outputs.at(0).dtype;
  return spec.inputs.at(static_cast<size_t>(index)).dtype;
}

DType kernel_dtype(const Node& node) {
  const int index = node.op().traits.kernel_dtype_input;
  if (index < 0 || node.inputs().empty()) return node.output_type(0).dtype;
  return node.input(index).dtype();
}

}  // namespace trireme
