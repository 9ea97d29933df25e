#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/row_sums.h"
#include "core/device/element.h"

namespace trireme::cuda {
namespace {

int64_t row_elements(const Shape& table) { return table.last(table.rank() - 1).elements(); }

PreparedKernel gather(const KernelSpec& spec) {
  const int64_t row_bytes =
      row_elements(spec.input_shape(0)) * static_cast<int64_t>(size_of(spec.outputs[0].dtype));
  // As many bytes at a time as a row is a multiple of.
  const int64_t unit =
      std::min<int64_t>(16, int64_t{1} << std::countr_zero(static_cast<uint64_t>(row_bytes | 16)));
  const int64_t units = row_bytes / unit;
  const RowIndices indices = row_indices(spec, 1, spec.input_shape(0)[0]);
  return {[=, kernel = Kernel(str_cat("gather_", unit)),
           shape = spread(cuda_device(spec), indices.count * units)](const KernelArgs& args) {
    if (indices.count * units == 0) return;
    kernel.launch(cuda_stream(args), shape, at(indices, args, 1), args.inputs[0], args.outputs[0],
                  units);
  }};
}

PreparedKernel scatter_add(const KernelSpec& spec) {
  const DType dtype = spec.outputs[0].dtype;
  const int64_t rows = spec.output_shape()[0], width = row_elements(spec.output_shape());
  const RowSums sums(spec, 0, rows, width, std::max<size_t>(4, size_of(dtype)));
  const int widest = size_of(dtype) == 8 ? 2 : 4;
  const int by = width % widest == 0 ? widest : 1;
  const auto kernel = [&](const char* name) {
    return Kernel(kernel_name(str_cat("scatter_", name, "_by_", by), dtype));
  };
  return {[=, bytes = spec.outputs[0].bytes(), compared = kernel("compared"), runs = kernel("runs"),
           sorted = kernel("sorted")](const KernelArgs& args) {
            if (bytes == 0) return;
            CudaStream& stream = cuda_stream(args);
            void *const given = args.inputs[1], *const y = args.outputs[0];
            check(
                driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(y), 0, bytes, stream.raw()),
                "cuMemsetD8Async for ScatterAdd");
            if (sums.is_compared()) {
              compared.launch(stream, sums.compared_shape(by), sums.indices(args), given, y, width);
              return;
            }
            const SortedRows order = sums.sort(args);
            runs.launch(stream, sums.runs_shape(by), order, given, sums.runs(args), width);
            sorted.launch(stream, sums.sorted_shape(by), order, given, sums.runs(args), y, width);
          },
          sums.scratch_bytes()};
}

// The bits of 1.
uint64_t one_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return Half(1.0f).bits;
    case DType::kBFloat16:
      return BFloat16(1.0f).bits;
    case DType::kFloat32:
      return std::bit_cast<uint32_t>(1.0f);
    case DType::kFloat64:
      return std::bit_cast<uint64_t>(1.0);
    default:
      return 1;
  }
}

PreparedKernel one_hot(const KernelSpec& spec) {
  const DType dtype = spec.outputs[0].dtype;
  const int64_t depth = spec.attribute<int64_t>("depth");
  const RowIndices indices = row_indices(spec, 0, depth);
  return {[=, kernel = Kernel(str_cat("one_hot_", size_of(dtype))), one = one_of(dtype),
           shape = spread(cuda_device(spec), indices.count * depth)](const KernelArgs& args) {
    if (indices.count * depth == 0) return;
    kernel.launch(cuda_stream(args), shape, at(indices, args, 0), args.outputs[0], one);
  }};
}

}  // namespace

void register_indexing(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Gather", kCudaKind, dtype, gather);
    add_kernel(table, "EmbeddingLookup", kCudaKind, dtype, gather);
    add_kernel(table, "OneHot", kCudaKind, dtype, one_hot);
  }
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64}) {
    add_kernel(table, "ScatterAdd", kCudaKind, dtype, scatter_add);
  }
}

}  // namespace trireme::cuda
