// Rows by number: gather, scatter and one-hot.
#include "core/device/cuda/kernels/summed_rows.cuh"

namespace trireme::cuda {

// `units` of Unit a row. A row out of range gives zeros.
template <typename Unit>
TRIREME_DEVICE void gather(const RowIndices& indices, const Unit* params, Unit* y, int64_t units) {
  const int64_t total = indices.count * units;
  for (int64_t i = global_thread(); i < total; i += global_threads()) {
    const int64_t at = quotient(i, units), unit = i - at * units;
    const int64_t row = index_at(indices, at);
    if (is_row(indices, row)) {
      y[i] = params[row * units + unit];
    } else {
      if (unit == 0) report_row(indices, at, row);
      y[i] = Unit{};
    }
  }
}

template <typename Unit>
TRIREME_DEVICE void one_hot(const RowIndices& indices, Unit* y, Unit one) {
  const int64_t depth = indices.rows, total = indices.count * depth;
  for (int64_t i = global_thread(); i < total; i += global_threads()) {
    const int64_t at = quotient(i, depth);
    y[i] = index_at(indices, at) == i - at * depth ? one : Unit{};
  }
}

template <typename T, int V>
struct StoreSum {
  T* y;
  int64_t width;
  TRIREME_DEVICE void operator()(int64_t row, int64_t column,
                                 const Vector<Compute<T>, V>& sum) const {
    Vector<T, V> out;
    for (int v = 0; v < V; ++v) out.at[v] = from_compute<T>(sum.at[v]);
    *reinterpret_cast<Vector<T, V>*>(y + row * width + column) = out;
  }
};

}  // namespace trireme::cuda

using namespace trireme::cuda;

struct alignas(16) Unit16 {
  uint64_t words[2];
};

#define TRIREME_GATHER_KERNEL(Unit, bytes)                                                 \
  TRIREME_KERNEL(gather_##bytes,                                                           \
                 (const RowIndices indices, const Unit* params, Unit* y, int64_t units)) { \
    gather(indices, params, y, units);                                                     \
  }
TRIREME_GATHER_KERNEL(uint8_t, 1)
TRIREME_GATHER_KERNEL(uint16_t, 2)
TRIREME_GATHER_KERNEL(uint32_t, 4)
TRIREME_GATHER_KERNEL(uint64_t, 8)
TRIREME_GATHER_KERNEL(Unit16, 16)

#define TRIREME_ONE_HOT_KERNEL(Unit, bytes)                                            \
  TRIREME_KERNEL(one_hot_##bytes, (const RowIndices indices, Unit* y, uint64_t one)) { \
    one_hot(indices, y, static_cast<Unit>(one));                                       \
  }
TRIREME_ONE_HOT_KERNEL(uint8_t, 1)
TRIREME_ONE_HOT_KERNEL(uint16_t, 2)
TRIREME_ONE_HOT_KERNEL(uint32_t, 4)
TRIREME_ONE_HOT_KERNEL(uint64_t, 8)

// `y` is zero before.
#define TRIREME_SCATTER_KERNELS(T, V, suffix)                                                  \
  TRIREME_KERNEL(scatter_compared_##suffix,                                                    \
                 (const RowIndices indices, const T* given, T* y, int64_t width)) {            \
    sum_compared_rows<T, V>(indices, given, width, StoreSum<T, V>{y, width});                  \
  }                                                                                            \
  TRIREME_KERNEL(scatter_runs_##suffix,                                                        \
                 (const SortedRows sorted, const T* given, Compute<T>* runs, int64_t width)) { \
    sum_runs<T, V>(sorted, given, width, runs);                                                \
  }                                                                                            \
  TRIREME_KERNEL(scatter_sorted_##suffix, (const SortedRows sorted, const T* given,            \
                                           const Compute<T>* runs, T* y, int64_t width)) {     \
    sum_sorted_rows<T, V>(sorted, given, width, runs, StoreSum<T, V>{y, width});               \
  }
#define TRIREME_SCATTER_KERNELS_OF(T, V, suffix)   \
  TRIREME_SCATTER_KERNELS(T, V, by_##V##_##suffix) \
  TRIREME_SCATTER_KERNELS(T, 1, by_1_##suffix)

TRIREME_SCATTER_KERNELS_OF(Half, 4, f16)
TRIREME_SCATTER_KERNELS_OF(BFloat16, 4, bf16)
TRIREME_SCATTER_KERNELS_OF(float, 4, f32)
TRIREME_SCATTER_KERNELS_OF(double, 2, f64)
// Without a sign, sums of integers wrap around.
TRIREME_SCATTER_KERNELS_OF(uint32_t, 4, i32)
TRIREME_SCATTER_KERNELS_OF(uint64_t, 2, i64)
