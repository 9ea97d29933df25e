// Pooling, by kernels of our own (kernels/pooling.cu says why).
#include "core/base/error.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/window_sizes.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};

// The kernel of `base` for positions and elements of these types: "max_pool_u8_f32".
Kernel positions_kernel(std::string_view base, DType positions, DType dtype) {
  return Kernel(kernel_name(str_cat(base, "_", name(positions)), dtype));
}

// A thread takes 16 bytes of channels where they divide.
LaunchShape shape_for(const KernelSpec& spec, const Shape& pixels, DType dtype) {
  const int64_t wide = 16 / static_cast<int64_t>(size_of(dtype));
  const bool divides = pixels.dim(-1) % wide == 0;
  return spread(cuda_device(spec), pixels.elements(), divides ? static_cast<int>(wide) : 1);
}

PreparedKernel max_pool(const KernelSpec& spec) {
  const DType dtype = spec.inputs[0].dtype;
  const WindowGeometry g = window_geometry(pool2d_geometry(spec.input_shape(0), spec.attributes));
  const LaunchShape shape = shape_for(spec, spec.output_shape(), dtype);
  const Kernel kernel = positions_kernel("max_pool", spec.outputs[1].dtype, dtype);
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], args.outputs[1], g);
  }};
}

// MaxPool2dGrad and MaxPool2dGradGrad: two inputs, one output; the image's shape is that of input
// `image`.
PreparedKernel with_positions(const KernelSpec& spec, std::string_view base, int image) {
  const DType dtype = spec.inputs[0].dtype;
  const WindowGeometry g =
      window_geometry(pool2d_geometry(spec.input_shape(image), spec.attributes));
  const LaunchShape shape = shape_for(spec, spec.output_shape(), dtype);
  const Kernel kernel = positions_kernel(base, spec.inputs[1].dtype, dtype);
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.inputs[1], args.outputs[0], g);
  }};
}

PreparedKernel average(const KernelSpec& spec, std::string_view base, int image) {
  const DType dtype = spec.inputs[0].dtype;
  const WindowGeometry g =
      window_geometry(pool2d_geometry(spec.input_shape(image), spec.attributes));
  const LaunchShape shape = shape_for(spec, spec.output_shape(), dtype);
  const Kernel kernel(kernel_name(base, dtype));
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], g);
  }};
}

}  // namespace

void register_pooling(KernelTable& table) {
  for (DType dtype : kFloats) {
    add_kernel(table, "MaxPool2d", kCudaKind, dtype, max_pool);
    add_kernel(table, "MaxPool2dGrad", kCudaKind, dtype,
               [](const KernelSpec& spec) { return with_positions(spec, "max_pool_grad", 2); });
    add_kernel(table, "MaxPool2dGradGrad", kCudaKind, dtype,
               [](const KernelSpec& spec) { return with_positions(spec, "max_pool_pick", 0); });
    add_kernel(table, "AvgPool2d", kCudaKind, dtype,
               [](const KernelSpec& spec) { return average(spec, "avg_pool", 0); });
    add_kernel(table, "AvgPool2dGrad", kCudaKind, dtype,
               [](const KernelSpec& spec) { return average(spec, "avg_pool_grad", 1); });
  }
}

}  // namespace trireme::cuda
