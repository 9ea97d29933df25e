#include "core/passes/fold_constants.h"

#include <unordered_map>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

class Folder {
 public:
  Folder(ProgramRewrite& rewrite, const KernelTable& kernels, size_t max_bytes)
      : rewrite_(rewrite), kernels_(kernels), max_bytes_(max_bytes) {}

  // True when `node`, of the old graph, became constants.
  bool fold(const Node& node) {
    if (is_constant(node) && !rewrite_.is_fed(node)) {
      known_[{const_cast<Node*>(&node), 0}] = node.attribute<Tensor>("value");
      return false;
    }
    if (!can_fold(node)) return false;
    std::vector<Tensor> inputs;
    for (const Value& input : node.inputs()) inputs.push_back(known_.at(input));
    std::vector<Tensor> outputs;
    if (node.op().traits.is_view) {
      outputs.push_back(inputs[0].reshaped(node.output_type().shape));
    } else if (!run(node, inputs, outputs)) {
      return false;
    }
    for (int i = 0; i < node.output_count(); ++i) {
      const Value old{const_cast<Node*>(&node), i};
      known_[old] = outputs[static_cast<size_t>(i)];
      Node& constant = rewrite_.to().add("Constant", {}, {{"value", known_[old]}}, node.name());
      constant.set_device(node.device());
      if (i == 0) rewrite_.copier().replace(node, constant);
      rewrite_.copier().replace(old, constant.output());
    }
    return true;
  }

 private:
  bool can_fold(const Node& node) const {
    if (node.inputs().empty() || node.output_count() == 0) return false;
    // A control input says "not before"; a constant would be there always.
    if (!is_pure(node) || rewrite_.is_fed(node) || !node.control_inputs().empty()) return false;
    for (const Value& input : node.inputs()) {
      if (!known_.contains(input)) return false;
    }
    for (int i = 0; i < node.output_count(); ++i) {
      const TensorType& type = node.output_type(i);
      if (!type.shape.is_known() || type.dtype == DType::kString) return false;
      if (type.bytes() > max_bytes_) return false;
    }
    return true;
  }

  bool run(const Node& node, std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) const {
    const KernelFactory* factory = kernels_.find(node.op().name, "reference", kernel_dtype(node));
    if (factory == nullptr) return false;
    KernelSpec spec = spec_of(node, kernels_, {}, {});
    std::vector<void*> input_addresses, output_addresses;
    for (Tensor& input : inputs) {
      spec.inputs.push_back(input.type());
      input_addresses.push_back(input.raw());
    }
    for (int i = 0; i < node.output_count(); ++i) {
      spec.outputs.push_back(node.output_type(i));
      outputs.emplace_back(node.output_type(i).dtype, node.output_type(i).shape);
      output_addresses.push_back(outputs.back().raw());
    }
    const PreparedKernel kernel = (*factory)(spec);
    const std::shared_ptr<Buffer> scratch = allocate_host(kernel.scratch_bytes);
    kernel.run({input_addresses.data(), output_addresses.data(), scratch->data()});
    return true;
  }

  ProgramRewrite& rewrite_;
  const KernelTable& kernels_;
  size_t max_bytes_;
  std::unordered_map<Value, Tensor, ValueHash> known_;
};

}  // namespace

Program fold_constants(Program program, const KernelTable& kernels, size_t max_bytes) {
  ProgramRewrite rewrite(std::move(program));
  Folder folder(rewrite, kernels, max_bytes);
  for (const auto& node : rewrite.nodes()) {
    if (!folder.fold(*node)) rewrite.copier().copy(*node);
  }
  return rewrite.finish();
}

}  // namespace trireme
