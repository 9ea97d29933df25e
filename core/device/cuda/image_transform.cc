#include "core/device/affine_geometry.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

PreparedKernel affine_transform(const KernelSpec& spec) {
  const AffineGeometry g = affine_geometry(spec);
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  const LaunchShape shape = spread(cuda_device(spec), spec.output_shape().elements());
  const Kernel kernel(kernel_name("affine_transform", spec.inputs[0].dtype));
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.inputs[1], args.outputs[0], g);
  }};
}

}  // namespace

void register_images(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64}) {
    add_kernel(table, "AffineTransform", kCudaKind, dtype, affine_transform);
  }
}

}  // namespace trireme::cuda
