// The table of kernels: how an op is computed on one kind of device for one dtype. For those who
// fill it from what is there already, and for those who look kernels up; the file of a kernel needs
// core/device/kernel_spec.h only.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/device/kernel_spec.h"

namespace trireme {

class Node;

// Kernels by (op, device kind, dtype); which dtype counts is OpTraits::kernel_dtype_input. Filled
// by the explicit lists register_reference_kernels() and register_cpu_kernels(); read-only after
// that.
class KernelTable {
 public:
  // Throws Error{kInternal} when there is one already.
  void add(std::string op, std::string_view device_kind, DType dtype, KernelFactory factory);
  const KernelFactory* find(std::string_view op, std::string_view device_kind, DType dtype) const;
  std::vector<DType> dtypes(std::string_view op, std::string_view device_kind) const;
  // Makes every kernel of `from` available under the device kind `to` as well, where `to` has none
  // of its own.
  void inherit(std::string_view from, std::string_view to);

 private:
  using Key = std::tuple<std::string, std::string, DType>;
  std::map<Key, KernelFactory> kernels_;
};

// The spec of a kernel of `kernels` for `node`, whose types may differ from the node's own, where a
// batch is -1. Valid as long as the node is.
KernelSpec spec_of(const Node& node, const KernelTable& kernels, std::vector<TensorType> inputs,
                   std::vector<TensorType> outputs, Device* device = nullptr);

// The dtype that chooses the kernel.
DType kernel_dtype(const KernelSpec& spec);
DType kernel_dtype(const Node& node);

}  // namespace trireme
