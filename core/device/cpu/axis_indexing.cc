#include <algorithm>
#include <cstring>
#include <limits>

#include "core/device/axis_rows.h"
#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"
#include "core/device/row_indices.h"

namespace trireme::cpu {
namespace {

template <typename T>
PreparedKernel gather_axis(const KernelSpec& spec) {
  const AxisRows size(spec, 0, 1);
  return {[size, indices = RowIndices(spec, 1, size.rows)](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    const int64_t blocks = size.batch * size.outer;
    const int64_t block_elements = std::max<int64_t>(1, size.count * size.inner);
    parallel_for(blocks, std::max<int64_t>(1, kGrain / block_elements),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t block = begin; block < end; ++block) {
                     const int64_t b = block / size.outer;
                     const T* from = x + block * size.rows * size.inner;
                     T* to = y + block * size.count * size.inner;
                     for (int64_t j = 0; j < size.count; ++j) {
                       const int64_t row = indices.at(args, b * size.count + j);
                       if (size.inner == 1) {
                         to[j] = from[row];
                       } else {
                         std::memcpy(to + j * size.inner, from + row * size.inner,
                                     static_cast<size_t>(size.inner) * sizeof(T));
                       }
                     }
                   }
                 });
  }};
}

// A thread owns whole blocks [rows, inner] of the output, so each element is summed in the order of
// the indices. 16-bit floats are summed in float, in scratch memory.
template <typename T>
PreparedKernel scatter_axis(const KernelSpec& spec) {
  using C = ComputeType<T>;
  const AxisRows size(spec, 2, 0);
  const int64_t elements = spec.output_shape().elements();
  const size_t scratch = std::is_same_v<C, T> ? 0 : static_cast<size_t>(elements) * sizeof(C);
  return {[size, indices = RowIndices(spec, 0, size.rows)](const KernelArgs& args) {
            const T* updates = args.in<T>(1);
            C* sums = std::is_same_v<C, T> ? args.out<C>() : static_cast<C*>(args.scratch);
            const int64_t blocks = size.batch * size.outer, width = size.rows * size.inner;
            const int64_t work = std::max<int64_t>(1, width + size.count * size.inner);
            parallel_for(blocks, std::max<int64_t>(1, kGrain / work),
                         [&](int64_t begin, int64_t end) {
                           std::fill(sums + begin * width, sums + end * width, C{});
                           for (int64_t block = begin; block < end; ++block) {
                             const int64_t b = block / size.outer;
                             for (int64_t j = 0; j < size.count; ++j) {
                               const int64_t row = indices.at(args, b * size.count + j);
                               C* to = sums + block * width + row * size.inner;
                               const T* from = updates + (block * size.count + j) * size.inner;
                               for (int64_t i = 0; i < size.inner; ++i)
                                 to[i] = static_cast<C>(to[i] + convert<C>(from[i]));
                             }
                           }
                           if constexpr (!std::is_same_v<C, T>) {
                             for (int64_t i = begin * width; i < end * width; ++i)
                               args.out<T>()[i] = convert<T>(sums[i]);
                           }
                         });
          },
          scratch};
}

// A thread owns a range of segments and goes over all indices.
template <typename T>
PreparedKernel segment_max(const KernelSpec& spec) {
  const int64_t rows = spec.output_shape()[0];
  const int64_t width = rows == 0 ? 0 : spec.output_shape().elements() / rows;
  T lowest;
  if constexpr (is_float_element<T>)
    lowest = convert<T>(-std::numeric_limits<double>::infinity());
  else
    lowest = std::numeric_limits<T>::lowest();
  return {[=, indices = RowIndices(spec, 1, rows)](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    const int64_t work = (rows + indices.count()) * width;
    const int64_t parts = std::clamp<int64_t>(work / (2 * kGrain), 1, compute_threads());
    parallel_for(rows, std::max<int64_t>(1, (rows + parts - 1) / parts),
                 [&](int64_t begin, int64_t end) {
                   std::fill(y + begin * width, y + end * width, lowest);
                   for (int64_t i = 0; i < indices.count(); ++i) {
                     const int64_t row = indices.at(args, i);
                     if (row < begin || row >= end) continue;
                     for (int64_t k = 0; k < width; ++k) {
                       const T value = x[i * width + k];
                       T& best = y[row * width + k];
                       if (convert<ComputeType<T>>(value) > convert<ComputeType<T>>(best))
                         best = value;
                     }
                   }
                 });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_axis_indexing(KernelTable& table) {
  using namespace cpu;
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "GatherAxis", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return gather_axis<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "ScatterAxis", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return scatter_axis<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "SegmentMax", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return segment_max<T>(spec); });
}

}  // namespace trireme
