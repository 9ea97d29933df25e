// Elementwise ops, one by one and as chains: every kernel here is generated (chain_source.h).
#include <array>

#include "core/base/error.h"
#include "core/device/cuda/chain_source.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"
#include "core/device/elementwise_op.h"
#include "core/device/kernel.h"
#include "core/ops/ops.h"

namespace trireme::cuda {
namespace {

// As many addresses as a launch may have; a chain has fewer (core/passes/fuse_elementwise.cc).
constexpr size_t kMaxAddresses = 64;

constexpr DType kDTypes[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                             DType::kInt32,   DType::kInt64,    DType::kUInt8,   DType::kBool};

PreparedKernel prepare(const KernelSpec& spec, const Chain& chain) {
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  const auto types = chain_types(chain, spec.inputs, spec.ops);
  const ChainSource source = generate_chain(chain, types, spec.ops);
  const size_t inputs = spec.inputs.size(), outputs = spec.outputs.size();
  if (inputs + outputs > kMaxAddresses) {
    throw invalid_argument(spec.where(), ": a kernel takes at most ", kMaxAddresses,
                           " inputs and outputs, found ", inputs + outputs);
  }
  const CudaDevice& device = cuda_device(spec);
  const Kernel kernel = compile_kernel(device, source.name, source.text);
  const LaunchShape shape = spread(device, source.count, source.per_thread);
  return {[=, count = static_cast<long long>(source.count)](const KernelArgs& args) {
    std::array<void*, kMaxAddresses + 1> arguments;
    for (size_t i = 0; i < inputs; ++i) arguments[i] = const_cast<void**>(&args.inputs[i]);
    for (size_t i = 0; i < outputs; ++i)
      arguments[inputs + i] = const_cast<void**>(&args.outputs[i]);
    arguments[inputs + outputs] = const_cast<long long*>(&count);
    kernel.launch_raw(cuda_stream(args), shape, arguments.data());
  }};
}

PreparedKernel one_op(const KernelSpec& spec) {
  Chain chain{.input_count = static_cast<int>(spec.inputs.size())};
  Chain::Step step{.op = spec.op.name, .inputs = {}, .attributes = spec.attributes};
  for (int i = 0; i < chain.input_count; ++i) step.inputs.push_back(i);
  chain.steps.push_back(std::move(step));
  chain.outputs = {chain.input_count};
  return prepare(spec, chain);
}

PreparedKernel fused(const KernelSpec& spec) {
  return prepare(spec, parse_chain(spec.attribute<std::string>("chain"),
                                   static_cast<int>(spec.inputs.size())));
}

void add_kernels_of(const OpDef& op, KernelTable& table) {
  for (DType dtype : kDTypes) {
    if (has_chain_op(op, dtype) && table.find(op.name, kCudaKind, dtype) == nullptr)
      add_kernel(table, op.name, kCudaKind, dtype, one_op);
  }
}

}  // namespace

// Called last: where a family has a kernel of its own, that one is taken.
void register_elementwise(KernelTable& table) {
  const auto ops = core_op_table();
  for (const std::string& op : ops->names()) add_kernels_of(ops->find(op), table);
  for (DType dtype : kDTypes) add_kernel(table, "FusedElementwise", kCudaKind, dtype, fused);
}

}  // namespace trireme::cuda

namespace trireme {

void add_cuda_elementwise(KernelTable& table, const OpDef& op) { cuda::add_kernels_of(op, table); }

}  // namespace trireme
