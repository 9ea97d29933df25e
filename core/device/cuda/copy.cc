// Copies on the device itself: the driver's, which runs beside kernels.
#include "core/base/batch_share.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

PreparedKernel copy_bytes(size_t offset, size_t bytes) {
  return {[=](const KernelArgs& args) {
    if (bytes == 0) return;
    cuda_stream(args).copy(args.outputs[0], args.in<char>(0) + offset, bytes,
                           CopyKind::kDeviceToDevice);
  }};
}

PreparedKernel copy(const KernelSpec& spec) { return copy_bytes(0, spec.inputs[0].bytes()); }

PreparedKernel batch_part(const KernelSpec& spec) {
  const int64_t rows = spec.input_shape(0)[0];
  const RowRange part =
      batch_share(rows, spec.attribute<int64_t>("index"), spec.attribute<int64_t>("count"));
  const size_t row_bytes = spec.inputs[0].bytes() / static_cast<size_t>(rows);
  const size_t begin = part.size() == 0 ? 0 : static_cast<size_t>(part.begin) * row_bytes;
  return copy_bytes(begin, spec.outputs[0].bytes());
}

}  // namespace

void register_copy(KernelTable& table) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Copy", kCudaKind, dtype, copy);
    add_kernel(table, "BatchPart", kCudaKind, dtype, batch_part);
  }
}

}  // namespace trireme::cuda
