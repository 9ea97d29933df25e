#include <algorithm>

#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

struct Rows {
  int64_t rows, channels;
  LaunchShape by_row, by_channel;

  Rows(const KernelSpec& spec, int input) : rows(0), channels(spec.input_shape(input).dim(-1)) {
    constexpr int64_t kMostBlocks = 1 << 16;
    rows = spec.input_shape(input).elements() / channels;
    by_row.grid_x = static_cast<uint32_t>(std::clamp<int64_t>(rows, 1, kMostBlocks));
    by_row.block_x = channels <= 256 ? 32 : 256;
    by_channel.grid_x = static_cast<uint32_t>((channels + 31) / 32);
    by_channel.block_x = 256;
  }
};

PreparedKernel layer_norm(const KernelSpec& spec) {
  const Rows all(spec, 0);
  return {
      [=, epsilon = spec.attribute<double>("epsilon"),
       kernel = Kernel(kernel_name("layer_norm", spec.inputs[0].dtype))](const KernelArgs& args) {
        if (all.rows == 0) return;
        kernel.launch(cuda_stream(args), all.by_row, args.inputs[0], args.inputs[1], args.inputs[2],
                      args.outputs[0], args.outputs[1], args.outputs[2], all.rows, all.channels,
                      epsilon);
      }};
}

PreparedKernel layer_norm_grad(const KernelSpec& spec) {
  const Rows all(spec, 1);
  const DType dtype = spec.inputs[1].dtype;
  return {[=, of_channels = Kernel(kernel_name("layer_norm_grad_channels", dtype)),
           of_rows = Kernel(kernel_name("layer_norm_grad_rows", dtype))](const KernelArgs& args) {
    CudaStream& stream = cuda_stream(args);
    // First: dx may be written over dy.
    of_channels.launch(stream, all.by_channel, args.inputs[0], args.inputs[1], args.inputs[3],
                       args.inputs[4], args.outputs[1], args.outputs[2], all.rows, all.channels);
    if (all.rows == 0) return;
    of_rows.launch(stream, all.by_row, args.inputs[0], args.inputs[1], args.inputs[2],
                   args.inputs[3], args.inputs[4], args.outputs[0], all.rows, all.channels);
  }};
}

}  // namespace

void register_layer_norm(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    add_kernel(table, "LayerNorm", kCudaKind, dtype, layer_norm);
    add_kernel(table, "LayerNormGrad", kCudaKind, dtype, layer_norm_grad);
  }
}

}  // namespace trireme::cuda
