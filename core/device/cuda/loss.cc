#include "core/base/error.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};

// Rows of classes, and how they are given out: a warp a row when rows are short, else a block.
struct Rows {
  int64_t rows, classes;
  LaunchShape shape;
  const char* kernels;

  explicit Rows(const KernelSpec& spec) {
    constexpr int64_t kWarpClasses = 1024;
    classes = spec.input_shape(0).dim(-1);
    rows = classes == 0 ? 0 : spec.input_shape(0).elements() / classes;
    const bool by_warp = classes <= kWarpClasses;
    shape = spread(cuda_device(spec), rows * (by_warp ? 32 : 256));
    kernels = by_warp ? "_of_warps" : "_of_blocks";
  }
};

PreparedKernel softmax(const KernelSpec& spec, int is_logarithm) {
  const Rows rows(spec);
  const Kernel kernel(kernel_name(str_cat("softmax", rows.kernels), spec.inputs[0].dtype));
  return {[=](const KernelArgs& args) {
    if (rows.rows == 0) return;
    kernel.launch(cuda_stream(args), rows.shape, args.inputs[0], args.outputs[0], rows.rows,
                  rows.classes, is_logarithm);
  }};
}

PreparedKernel sparse_softmax_cross_entropy(const KernelSpec& spec) {
  const Rows rows(spec);
  const Kernel kernel(
      kernel_name(str_cat("sparse_cross_entropy", rows.kernels), spec.inputs[0].dtype));
  const int is_i64 = spec.inputs[1].dtype == DType::kInt64;
  CudaDevice& device = cuda_device(spec);
  const uint32_t site =
      device.fault_site(str_cat("SparseSoftmaxCrossEntropy '", spec.node_name,
                                "': label {value} of row {position} is not in [0, {limit})"));
  return {[=, fault = device.fault()](const KernelArgs& args) {
    if (rows.rows == 0) return;
    kernel.launch(cuda_stream(args), rows.shape, args.inputs[0], args.inputs[1], is_i64,
                  args.outputs[0], args.outputs[1], rows.rows, rows.classes, fault, site);
  }};
}

PreparedKernel sigmoid_cross_entropy(const KernelSpec& spec) {
  const int64_t count = spec.output_shape().elements();
  const Kernel kernel(kernel_name("sigmoid_cross_entropy", spec.inputs[0].dtype));
  return {[=, shape = spread(cuda_device(spec), count)](const KernelArgs& args) {
    if (count == 0) return;
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.inputs[1], args.outputs[0], count);
  }};
}

}  // namespace

void register_loss(KernelTable& table) {
  for (const DType dtype : kFloats) {
    add_kernel(table, "Softmax", kCudaKind, dtype,
               [](const KernelSpec& spec) { return softmax(spec, 0); });
    add_kernel(table, "LogSoftmax", kCudaKind, dtype,
               [](const KernelSpec& spec) { return softmax(spec, 1); });
    add_kernel(table, "SparseSoftmaxCrossEntropy", kCudaKind, dtype, sparse_softmax_cross_entropy);
    add_kernel(table, "SigmoidCrossEntropy", kCudaKind, dtype, sigmoid_cross_entropy);
  }
}

}  // namespace trireme::cuda
