#include <algorithm>
#include <numeric>

#include "core/base/parallel.h"
#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"

namespace trireme::cpu {
namespace {

// Integers are added without a sign: their overflow is defined.
template <typename T>
using SumType = std::conditional_t<std::is_integral_v<T>, uint64_t, ComputeType<T>>;

// Strips of neighbouring columns, whose running sums stay in the first-level cache.
template <typename T>
PreparedKernel cumsum(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), n = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  const bool exclusive = spec.attribute<bool>("exclusive"),
             reverse = spec.attribute<bool>("reverse");
  constexpr int64_t kStrip = 256;
  const int64_t strips = (inner + kStrip - 1) / kStrip;
  return {[=](const KernelArgs& args) {
    const int64_t task = std::max<int64_t>(1, n * std::min(inner, kStrip));
    parallel_for(
        outer * strips, std::max<int64_t>(1, kGrain / task), [&](int64_t first, int64_t last) {
          SumType<T> sums[kStrip];
          for (int64_t t = first; t < last; ++t) {
            const int64_t column = t % strips * kStrip, columns = std::min(kStrip, inner - column);
            const int64_t block = t / strips * n * inner + column;
            std::fill(sums, sums + columns, SumType<T>{});
            for (int64_t k = 0; k < n; ++k) {
              const int64_t row = block + (reverse ? n - 1 - k : k) * inner;
              const T* from = args.in<T>(0) + row;
              T* to = args.out<T>() + row;
              for (int64_t i = 0; i < columns; ++i) {
                const SumType<T> before = sums[i];
                sums[i] = before + static_cast<SumType<T>>(convert<ComputeType<T>>(from[i]));
                to[i] = convert<T>(static_cast<ComputeType<T>>(exclusive ? before : sums[i]));
              }
            }
          }
        });
  }};
}

// Whether a comes before b in ascending order; a NaN counts as larger than every number.
template <typename T>
bool is_less(T a, T b) {
  if constexpr (is_float_element<T>) {
    const auto x = convert<ComputeType<T>>(a), y = convert<ComputeType<T>>(b);
    return x < y || (x == x && y != y);
  } else {
    return a < b;
  }
}

// The positions of a row are sorted, with the position itself deciding between equal elements: so
// sorts that are not stable, and need no memory, give the stable order.
template <typename T>
PreparedKernel sort(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  const int64_t n = x.dim(-1), rows = x.first(x.rank() - 1).elements();
  const int64_t count = spec.output_shape().dim(-1);
  const bool descending = spec.attribute<bool>("descending");
  return {[=](const KernelArgs& args) {
            const T* in = args.in<T>(0);
            int64_t* const all = static_cast<int64_t*>(args.scratch);
            parallel_for(rows, std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, n)),
                         [&](int64_t begin, int64_t end) {
                           for (int64_t row = begin; row < end; ++row) {
                             const T* from = in + row * n;
                             int64_t* order = all + row * n;
                             std::iota(order, order + n, int64_t{0});
                             const auto is_before = [&](int64_t a, int64_t b) {
                               const T first = from[descending ? b : a],
                                       second = from[descending ? a : b];
                               if (is_less(first, second)) return true;
                               return !is_less(second, first) && a < b;
                             };
                             if (count < n) {
                               std::partial_sort(order, order + count, order + n, is_before);
                             } else {
                               std::sort(order, order + n, is_before);
                             }
                             for (int64_t k = 0; k < count; ++k) {
                               args.out<T>(0)[row * count + k] = from[order[k]];
                               args.out<int64_t>(1)[row * count + k] = order[k];
                             }
                           }
                         });
          },
          static_cast<size_t>(rows * n) * sizeof(int64_t)};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_sorting(KernelTable& table) {
  using namespace cpu;
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, "CumSum", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return cumsum<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, "Sort", kCpuKind, []<typename T>(const KernelSpec& spec) { return sort<T>(spec); });
}

}  // namespace trireme
