#include <cstring>

#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"
#include "core/device/row_indices.h"

namespace trireme::cpu {
namespace {

int64_t row_elements(const Shape& table) { return table.last(table.rank() - 1).elements(); }

PreparedKernel gather(const KernelSpec& spec) {
  const int64_t row_bytes =
      row_elements(spec.input_shape(0)) * static_cast<int64_t>(size_of(spec.outputs[0].dtype));
  return {
      [row_bytes, indices = RowIndices(spec, 1, spec.input_shape(0)[0])](const KernelArgs& args) {
        const char* params = args.in<char>(0);
        char* y = args.out<char>();
        const int64_t grain = std::max<int64_t>(16, 65536 / std::max<int64_t>(1, row_bytes));
        parallel_for(indices.count(), grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            std::memcpy(y + i * row_bytes, params + indices.at(args, i) * row_bytes,
                        static_cast<size_t>(row_bytes));
          }
        });
      }};
}

// Every thread owns a range of rows and goes over all indices: so no two write to one row, and each
// row is summed in the order of the indices however many threads there are. 16-bit floats are
// summed in float, in scratch memory.
template <typename T>
PreparedKernel scatter_add(const KernelSpec& spec) {
  using C = ComputeType<T>;
  const int64_t width = row_elements(spec.output_shape()), rows = spec.output_shape()[0];
  const size_t scratch = std::is_same_v<C, T> ? 0 : static_cast<size_t>(rows * width) * sizeof(C);
  return {[=, indices = RowIndices(spec, 0, rows)](const KernelArgs& args) {
            const T* updates = args.in<T>(1);
            C* sums = std::is_same_v<C, T> ? args.out<C>() : static_cast<C*>(args.scratch);
            // A thread is worth it when it saves more adding than the walk over the indices costs.
            const int64_t work = rows * width + indices.count() * width;
            const int64_t parts = std::clamp<int64_t>(work / (2 * kGrain), 1, compute_threads());
            parallel_for(rows, std::max<int64_t>(1, (rows + parts - 1) / parts),
                         [&](int64_t begin, int64_t end) {
                           std::fill(sums + begin * width, sums + end * width, C{});
                           for (int64_t i = 0; i < indices.count(); ++i) {
                             const int64_t row = indices.at(args, i);
                             if (row < begin || row >= end) continue;
                             C* to = sums + row * width;
                             const T* from = updates + i * width;
#pragma GCC ivdep
                             for (int64_t k = 0; k < width; ++k)
                               to[k] = static_cast<C>(to[k] + convert<C>(from[k]));
                           }
                           if constexpr (!std::is_same_v<C, T>) {
                             for (int64_t k = begin * width; k < end * width; ++k)
                               args.out<T>()[k] = convert<T>(sums[k]);
                           }
                         });
          },
          scratch};
}

template <typename T>
PreparedKernel one_hot(const KernelSpec& spec) {
  const int64_t depth = spec.attribute<int64_t>("depth");
  return {[depth, indices = RowIndices(spec, 0, depth)](const KernelArgs& args) {
    T* y = args.out<T>();
    parallel_for(indices.count(), std::max<int64_t>(1, kGrain / std::max<int64_t>(1, depth)),
                 [&](int64_t begin, int64_t end) {
                   std::fill(y + begin * depth, y + end * depth, convert<T>(0));
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t index = indices.unchecked(args, i);
                     if (index >= 0 && index < depth) y[i * depth + index] = convert<T>(1);
                   }
                 });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_indexing(KernelTable& table) {
  using namespace cpu;
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Gather", kCpuKind, dtype, gather);
    add_kernel(table, "EmbeddingLookup", kCpuKind, dtype, gather);
  }
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "ScatterAdd", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return scatter_add<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "OneHot", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return one_hot<T>(spec); });
}

}  // namespace trireme
