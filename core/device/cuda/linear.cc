// Matrix products by cuBLASLt, and biases.
#include "core/base/error.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/matmul_plan.h"
#include "core/device/cuda/register.h"
#include "core/device/matrix_offsets.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};

MatmulSizes sizes_of(const KernelSpec& spec, int first_input) {
  const Shape a = spec.input_shape(first_input), b = spec.input_shape(first_input + 1),
              y = spec.output_shape();
  MatmulSizes sizes;
  sizes.transpose_a = spec.attribute<bool>("transpose_a");
  sizes.transpose_b = spec.attribute<bool>("transpose_b");
  sizes.m = y.dim(-2);
  sizes.n = y.dim(-1);
  sizes.k = a.dim(sizes.transpose_a ? -2 : -1);
  sizes.from = spec.inputs[static_cast<size_t>(first_input)].dtype;
  sizes.to = spec.outputs[0].dtype;
  if (b.rank() == 2 && !sizes.transpose_a) {
    // The rows of all matrices make one tall one.
    sizes.m = y.first(y.rank() - 1).elements();
  } else {
    sizes.a_offsets = matrix_offsets(a, y);
    sizes.b_offsets = matrix_offsets(b, y);
  }
  return sizes;
}

PreparedKernel matmul(const KernelSpec& spec) {
  auto plan = std::make_shared<MatmulPlan>(cuda_device(spec), sizes_of(spec, 0));
  return {[plan](const KernelArgs& args) {
            plan->run(cuda_stream(args), args.inputs[0], args.inputs[1], nullptr, args.outputs[0],
                      args.scratch);
          },
          plan->scratch_bytes()};
}

PreparedKernel fused_matmul(const KernelSpec& spec) {
  MatmulSizes sizes = sizes_of(spec, 0);
  sizes.has_bias = true;
  sizes.activation = spec.attribute<std::string>("activation");
  auto plan = std::make_shared<MatmulPlan>(cuda_device(spec), std::move(sizes));
  return {[plan](const KernelArgs& args) {
            plan->run(cuda_stream(args), args.inputs[0], args.inputs[1], args.inputs[2],
                      args.outputs[0], args.scratch);
          },
          plan->scratch_bytes()};
}

// The learning rate is on the card, so the product reads its factor there.
PreparedKernel fused_matmul_apply_sgd(const KernelSpec& spec) {
  MatmulSizes sizes = sizes_of(spec, 2);
  sizes.accumulate = true;
  const DType sums = sizes.from == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  auto plan = std::make_shared<MatmulPlan>(cuda_device(spec), std::move(sizes));
  const Kernel factors(kernel_name("sgd_factors", sums));
  return {[plan, factors](const KernelArgs& args) {
            CudaStream& stream = cuda_stream(args);
            char* const scratch = static_cast<char*>(args.scratch);
            const void* const rate = args.inputs[1];
            factors.launch(stream, {.block_x = 32}, rate, args.scratch);
            plan->run(stream, args.inputs[2], args.inputs[3], nullptr, args.inputs[0],
                      scratch + kAlignment, scratch);
          },
          kAlignment + plan->scratch_bytes()};
}

PreparedKernel bias_add(const KernelSpec& spec) {
  const Shape& y = spec.output_shape();
  const BiasActivation add(cuda_device(spec), spec.outputs[0].dtype, y.elements(), y.dim(-1),
                           "none");
  return {[add](const KernelArgs& args) {
    add.run(cuda_stream(args), args.inputs[0], args.inputs[1], args.outputs[0]);
  }};
}

}  // namespace

void register_linear(KernelTable& table) {
  for (DType dtype : kFloats) {
    add_kernel(table, "MatMul", kCudaKind, dtype, matmul);
    add_kernel(table, "FusedMatMul", kCudaKind, dtype, fused_matmul);
    add_kernel(table, "FusedMatMulApplySgd", kCudaKind, dtype, fused_matmul_apply_sgd);
    add_kernel(table, "BiasAdd", kCudaKind, dtype, bias_add);
  }
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    add_kernel(table, "WideMatMul", kCudaKind, dtype, matmul);
  }
}

}  // namespace trireme::cuda
