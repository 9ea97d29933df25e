#include <limits>

#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

constexpr int64_t kTile = 32;  // as kernels/sorting.cu has it

PreparedKernel cumsum(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), n = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  const int exclusive = spec.attribute<bool>("exclusive"),
            reverse = spec.attribute<bool>("reverse");
  return {[=, kernel = Kernel(kernel_name("cumsum", spec.inputs[0].dtype)),
           shape = spread(cuda_device(spec), outer * inner)](const KernelArgs& args) {
    if (outer * n * inner == 0) return;
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], outer, n, inner,
                  exclusive, reverse);
  }};
}

PreparedKernel sort(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  const DType dtype = spec.inputs[0].dtype;
  const int64_t n = x.dim(-1), rows = x.first(x.rank() - 1).elements();
  const int64_t count = spec.output_shape().dim(-1);
  const int descending = spec.attribute<bool>("descending");
  if (n > std::numeric_limits<uint32_t>::max()) {
    throw invalid_argument(spec.where(), ": expected rows of fewer than 2^32 elements on a GPU, ",
                           "found ", n);
  }
  const size_t order_bytes = align_up(static_cast<size_t>(rows * n) * sizeof(uint32_t));
  const CudaDevice& device = cuda_device(spec);
  return {[=, tiles = Kernel(kernel_name("sort_tiles", dtype)),
           merge = Kernel(kernel_name("sort_merge", dtype)),
           take = Kernel(kernel_name("sort_take", dtype)), all = spread(device, rows * n),
           taken = spread(device, rows * count)](const KernelArgs& args) {
            if (rows * count == 0) return;
            CudaStream& stream = cuda_stream(args);
            void *from = args.scratch, *to = static_cast<char*>(args.scratch) + order_bytes;
            tiles.launch(stream, all, args.inputs[0], from, rows, n, descending);
            for (int64_t width = kTile; width < n; width *= 2) {
              merge.launch(stream, all, args.inputs[0], from, to, rows, n, width, descending);
              std::swap(from, to);
            }
            take.launch(stream, taken, args.inputs[0], from, args.outputs[0], args.outputs[1], rows,
                        n, count);
          },
          2 * order_bytes};
}

}  // namespace

void register_sorting(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64, DType::kUInt8}) {
    add_kernel(table, "CumSum", kCudaKind, dtype, cumsum);
    add_kernel(table, "Sort", kCudaKind, dtype, sort);
  }
}

}  // namespace trireme::cuda
