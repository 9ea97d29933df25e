#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

// A thread for each number of the output.
PreparedKernel pairwise(const KernelSpec& spec, const char* name) {
  const Shape& x = spec.input_shape(0);
  const int64_t count = spec.output_shape().elements(), n = x[1], dim = x[2];
  const bool is_gradient = spec.inputs.size() == 2;
  const Kernel kernel(kernel_name(name, spec.inputs[0].dtype));
  return {[=, shape = spread(cuda_device(spec), count)](const KernelArgs& args) {
    if (count == 0) return;
    if (is_gradient) {
      kernel.launch(cuda_stream(args), shape, args.inputs[0], args.inputs[1], args.outputs[0],
                    count, n, dim);
    } else {
      kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], count, n, dim);
    }
  }};
}

}  // namespace

void register_pairwise_dots(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64}) {
    add_kernel(table, "PairwiseDots", kCudaKind, dtype,
               [](const KernelSpec& spec) { return pairwise(spec, "pairwise_dots"); });
    add_kernel(table, "PairwiseDotsGrad", kCudaKind, dtype,
               [](const KernelSpec& spec) { return pairwise(spec, "pairwise_dots_grad"); });
  }
}

}  // namespace trireme::cuda
