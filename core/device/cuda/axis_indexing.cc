#include "core/base/error.h"
#include "core/device/axis_rows.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/row_sums.h"

namespace trireme::cuda {
namespace {

void zero(const KernelArgs& args, void* address, size_t bytes, const char* op) {
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(address), 0, bytes,
                                 cuda_stream(args).raw()),
        str_cat("cuMemsetD8Async for ", op));
}

PreparedKernel gather_axis(const KernelSpec& spec) {
  const AxisRows size(spec, 0, 1);
  const int64_t total = spec.output_shape().elements();
  return {[=, indices = row_indices(spec, 1, size.rows),
           kernel = Kernel(str_cat("gather_axis_", size_of(spec.outputs[0].dtype))),
           shape = spread(cuda_device(spec), total)](const KernelArgs& args) {
    if (total == 0) return;
    kernel.launch(cuda_stream(args), shape, at(indices, args, 1), args.inputs[0], args.outputs[0],
                  total, size.outer, size.count, size.inner);
  }};
}

PreparedKernel scatter_axis(const KernelSpec& spec) {
  const AxisRows size(spec, 2, 0);
  const DType dtype = spec.outputs[0].dtype;
  const bool is_small = dtype == DType::kFloat16 || dtype == DType::kBFloat16;
  const int64_t elements = spec.output_shape().elements();
  const int64_t columns = size.batch * size.outer * size.inner;
  const CudaDevice& device = cuda_device(spec);
  const size_t sum_bytes = static_cast<size_t>(elements) * (is_small ? 4 : size_of(dtype));
  return {
      [=, indices = row_indices(spec, 0, size.rows),
       kernel = Kernel(kernel_name("scatter_axis", dtype)),
       round = is_small ? Kernel(kernel_name("scatter_axis_round", dtype)) : Kernel(),
       shape = spread(device, columns), all = spread(device, elements)](const KernelArgs& args) {
        if (elements == 0) return;
        void* const sums = is_small ? args.scratch : args.outputs[0];
        zero(args, sums, sum_bytes, "ScatterAxis");
        kernel.launch(cuda_stream(args), shape, at(indices, args, 0), args.inputs[1], sums, columns,
                      size.outer, size.count, size.inner);
        if (is_small) round.launch(cuda_stream(args), all, sums, args.outputs[0], elements);
      },
      is_small ? sum_bytes : 0};
}

// As kernels/axis_indexing.cu has it.
struct FlatAxes {
  int64_t sizes[Shape::kMaxRank] = {};
  int axes = 0;
};
static_assert(Shape::kMaxRank == 8);

PreparedKernel flat_index(const KernelSpec& spec) {
  FlatAxes axes{.axes = static_cast<int>(spec.input_shape(0).dim(-1))};
  for (int i = 0; i < axes.axes; ++i) axes.sizes[i] = spec.input_shape(1)[i];
  const int64_t count = spec.output_shape().elements();
  return {[=, indices = row_indices(spec, 0, 0), kernel = Kernel("flat_index"),
           shape = spread(cuda_device(spec), count)](const KernelArgs& args) {
    if (count == 0) return;
    kernel.launch(cuda_stream(args), shape, at(indices, args, 0), axes, args.outputs[0], count);
  }};
}

PreparedKernel segment_max(const KernelSpec& spec) {
  const DType dtype = spec.outputs[0].dtype;
  const int64_t elements = spec.output_shape().elements(), rows = spec.output_shape()[0];
  const int64_t width = rows == 0 ? 0 : elements / rows;
  const CudaDevice& device = cuda_device(spec);
  const size_t key_bytes = static_cast<size_t>(elements) * sizeof(uint32_t);
  const RowIndices indices = row_indices(spec, 1, rows);
  return {[=, kernel = Kernel(kernel_name("segment_max", dtype)),
           values = Kernel(kernel_name("segment_max_values", dtype)),
           shape = spread(device, indices.count * width),
           all = spread(device, elements)](const KernelArgs& args) {
            if (elements == 0) return;
            zero(args, args.scratch, key_bytes, "SegmentMax");
            kernel.launch(cuda_stream(args), shape, at(indices, args, 1), args.inputs[0],
                          args.scratch, width);
            values.launch(cuda_stream(args), all, args.scratch, args.outputs[0], elements);
          },
          key_bytes};
}

}  // namespace

void register_axis_indexing(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "GatherAxis", kCudaKind, dtype, gather_axis);
  }
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64}) {
    add_kernel(table, "ScatterAxis", kCudaKind, dtype, scatter_axis);
  }
  add_kernel(table, "FlatIndex", kCudaKind, DType::kInt64, flat_index);
  // By atomics on 32 bits: there is none of f64 and i64.
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kInt32}) {
    add_kernel(table, "SegmentMax", kCudaKind, dtype, segment_max);
  }
}

}  // namespace trireme::cuda
