#include "core/formats/translation/known_values.h"

#include <unordered_map>
#include <vector>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/device/kernel.h"

namespace trireme::formats {
bool is_possible(const TensorType& type) {
  uint64_t bytes = size_of(type.dtype);
  for (int64_t size : type.shape) {
    if (size >= 0 && __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
      return false;
    }
  }
  return bytes <= kMostExample;
}

Tensor evaluate_constants(Value wanted, const KernelTable& kernels, uint64_t most_bytes) {
  std::unordered_map<Value, Tensor, ValueHash> known;
  for (const auto& node : wanted.graph().nodes()) {
    if (node->op().name == "Constant") {
      known[node->output()] = node->attribute<Tensor>("value");
      continue;
    }
    if (node->op().traits.is_view) {
      known[node->output()] = known.at(node->input(0)).reshaped(node->output_type().shape);
      continue;
    }
    const KernelFactory* const factory =
        kernels.find(node->op().name, "reference", kernel_dtype(*node));
    if (factory == nullptr) {
      throw invalid_argument("no kernel for ", node->op().name, " of ", name(kernel_dtype(*node)),
                             " computes constants");
    }
    KernelSpec spec = spec_of(*node, kernels, {}, {});
    std::vector<void*> from, to;
    for (const Value& input : node->inputs()) {
      Tensor& tensor = known.at(input);
      spec.inputs.push_back(tensor.type());
      from.push_back(tensor.raw());
    }
    std::vector<Tensor> outputs;
    for (int i = 0; i < node->output_count(); ++i) {
      const TensorType& type = node->output_type(i);
      if (!type.shape.is_known() || !is_possible(type) || type.bytes() > most_bytes) {
        throw invalid_argument("expected a constant of known size of at most ", most_bytes,
                               " bytes, found ", type);
      }
      spec.outputs.push_back(type);
      outputs.emplace_back(type.dtype, type.shape);
      to.push_back(outputs.back().raw());
    }
    const PreparedKernel kernel = (*factory)(spec);
    const std::shared_ptr<Buffer> scratch = allocate_host(kernel.scratch_bytes);
    kernel.run({from.data(), to.data(), scratch->data()});
    for (int i = 0; i < node->output_count(); ++i) {
      known[node->output(i)] = outputs[static_cast<size_t>(i)];
    }
    if (node.get() == wanted.node) break;
  }
  return known.at(wanted);
}

}  // namespace trireme::formats
