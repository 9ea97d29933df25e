// Running sums along an axis, and the order of rows: by merging runs of 32, 64, … positions, each
// of which finds its place by a binary search in the other run. Equal elements stay in their order,
// and a NaN counts as larger than every number.
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {

constexpr int64_t kTile = 32;  // positions that a thread compares its own with

// Integers are added without a sign: their overflow is defined.
template <typename T>
struct RunningSum {
  using Type = uint64_t;
};
template <>
struct RunningSum<float> {
  using Type = float;
};
template <>
struct RunningSum<double> {
  using Type = double;
};

// x [outer, n, inner]: a thread a column.
template <typename T>
TRIREME_DEVICE void cumsum(const T* x, T* y, int64_t outer, int64_t n, int64_t inner, int exclusive,
                           int reverse) {
  using Sum = typename RunningSum<Compute<T>>::Type;
  for (int64_t c = global_thread(); c < outer * inner; c += global_threads()) {
    const int64_t first = c / inner * n * inner + c % inner;
    Sum sum = 0;
    for (int64_t k = 0; k < n; ++k) {
      const int64_t at = first + (reverse ? n - 1 - k : k) * inner;
      const Sum before = sum;
      sum += static_cast<Sum>(to_compute(x[at]));
      y[at] = from_compute<T>(static_cast<Compute<T>>(exclusive ? before : sum));
    }
  }
}

template <typename C>
TRIREME_DEVICE bool is_less(C a, C b) {
  return a < b || (a == a && b != b);
}

template <typename T>
struct Order {
  const T* row;
  bool descending;

  // Whether the element at position a belongs before that at b.
  TRIREME_DEVICE bool before(uint32_t a, uint32_t b) const {
    const Compute<T> x = to_compute(row[a]), y = to_compute(row[b]);
    return descending ? is_less(y, x) : is_less(x, y);
  }
};

// The positions [0, n) of each row, in order within tiles.
template <typename T>
TRIREME_DEVICE void sort_tiles(const T* x, uint32_t* order, int64_t rows, int64_t n,
                               int descending) {
  for (int64_t i = global_thread(); i < rows * n; i += global_threads()) {
    const int64_t row = i / n, at = i - row * n, begin = at / kTile * kTile;
    const int64_t end = begin + kTile < n ? begin + kTile : n;
    const Order<T> o{x + row * n, descending != 0};
    int64_t place = begin;
    for (int64_t k = begin; k < end; ++k) {
      const auto other = static_cast<uint32_t>(k), own = static_cast<uint32_t>(at);
      if (o.before(other, own) || (k < at && !o.before(own, other))) ++place;
    }
    order[row * n + place] = static_cast<uint32_t>(at);
  }
}

// Runs of `width` positions in order become runs of twice that.
template <typename T>
TRIREME_DEVICE void sort_merge(const T* x, const uint32_t* from, uint32_t* to, int64_t rows,
                               int64_t n, int64_t width, int descending) {
  for (int64_t i = global_thread(); i < rows * n; i += global_threads()) {
    const int64_t row = i / n, at = i - row * n, run = at / width;
    const bool is_left = run % 2 == 0;
    const int64_t pair = run / 2 * 2 * width, middle = pair + width;
    const Order<T> o{x + row * n, descending != 0};
    const uint32_t* all = from + row * n;
    const uint32_t own = all[at];
    // How many of the other run come before: of equal elements those of the left one.
    const int64_t begin = is_left ? middle : pair;
    int64_t low = begin, high = is_left ? middle + width : middle;
    if (low > n) low = n;
    if (high > n) high = n;
    const int64_t first = low;
    while (low < high) {
      const int64_t half = (low + high) / 2;
      const bool is_before = is_left ? o.before(all[half], own) : !o.before(own, all[half]);
      if (is_before) {
        low = half + 1;
      } else {
        high = half;
      }
    }
    const int64_t in_own = at - (is_left ? pair : middle);
    to[row * n + pair + in_own + (low - first)] = own;
  }
}

template <typename T>
TRIREME_DEVICE void sort_take(const T* x, const uint32_t* order, T* values, int64_t* indices,
                              int64_t rows, int64_t n, int64_t count) {
  for (int64_t i = global_thread(); i < rows * count; i += global_threads()) {
    const int64_t row = i / count;
    const uint32_t at = order[row * n + i - row * count];
    values[i] = x[row * n + at];
    indices[i] = at;
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_SORTING_KERNELS(dtype, T)                                                         \
  TRIREME_KERNEL(cumsum_##dtype, (const T* x, T* y, int64_t outer, int64_t n, int64_t inner,      \
                                  int exclusive, int reverse)) {                                  \
    cumsum(x, y, outer, n, inner, exclusive, reverse);                                            \
  }                                                                                               \
  TRIREME_KERNEL(sort_tiles_##dtype,                                                              \
                 (const T* x, uint32_t* order, int64_t rows, int64_t n, int descending)) {        \
    sort_tiles(x, order, rows, n, descending);                                                    \
  }                                                                                               \
  TRIREME_KERNEL(sort_merge_##dtype, (const T* x, const uint32_t* from, uint32_t* to,             \
                                      int64_t rows, int64_t n, int64_t width, int descending)) {  \
    sort_merge(x, from, to, rows, n, width, descending);                                          \
  }                                                                                               \
  TRIREME_KERNEL(sort_take_##dtype, (const T* x, const uint32_t* order, T* values,                \
                                     int64_t* indices, int64_t rows, int64_t n, int64_t count)) { \
    sort_take(x, order, values, indices, rows, n, count);                                         \
  }

TRIREME_SORTING_KERNELS(f16, Half)
TRIREME_SORTING_KERNELS(bf16, BFloat16)
TRIREME_SORTING_KERNELS(f32, float)
TRIREME_SORTING_KERNELS(f64, double)
TRIREME_SORTING_KERNELS(i32, int32_t)
TRIREME_SORTING_KERNELS(i64, int64_t)
TRIREME_SORTING_KERNELS(u8, uint8_t)
