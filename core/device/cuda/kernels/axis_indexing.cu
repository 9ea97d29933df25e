// Elements by number along an axis (axis_rows.h says how the tensors lie), coordinates as numbers,
// and the largest rows of segments.
#include "core/device/cuda/kernels/row_indices.cuh"

namespace trireme::cuda {

struct PickedAt {
  int64_t block, at, inner;  // at: position in the indices
};
TRIREME_DEVICE PickedAt picked_at(int64_t i, int64_t outer, int64_t count, int64_t inner) {
  const int64_t row = i / inner, block = row / count;
  return {block, block / outer * count + row - block * count, i - row * inner};
}

// A row out of range gives zeros.
template <typename Unit>
TRIREME_DEVICE void gather_axis(const RowIndices& indices, const Unit* x, Unit* y, int64_t total,
                                int64_t outer, int64_t count, int64_t inner) {
  for (int64_t i = global_thread(); i < total; i += global_threads()) {
    const PickedAt at = picked_at(i, outer, count, inner);
    const int64_t row = index_at(indices, at.at);
    if (is_row(indices, row)) {
      y[i] = x[(at.block * indices.rows + row) * inner + at.inner];
    } else {
      report_row(indices, at.at, row);
      y[i] = Unit{};
    }
  }
}

// A thread a column [rows] of the output, which it sums in the order of the indices. `sums` is zero
// before.
template <typename T>
TRIREME_DEVICE void scatter_axis(const RowIndices& indices, const T* updates, Compute<T>* sums,
                                 int64_t columns, int64_t outer, int64_t count, int64_t inner) {
  for (int64_t column = global_thread(); column < columns; column += global_threads()) {
    const int64_t block = column / inner, i = column - block * inner;
    const int64_t first = block / outer * count;
    for (int64_t j = 0; j < count; ++j) {
      const int64_t row = index_at(indices, first + j);
      if (!is_row(indices, row)) {
        report_row(indices, first + j, row);
        continue;
      }
      sums[(block * indices.rows + row) * inner + i] +=
          to_compute(updates[(block * count + j) * inner + i]);
    }
  }
}

template <typename T>
TRIREME_DEVICE void round_sums(const float* sums, T* y, int64_t count) {
  for (int64_t i = global_thread(); i < count; i += global_threads())
    y[i] = from_compute<T>(sums[i]);
}

// Numbers as keys without a sign that are in the same order; 0 is the lowest.
TRIREME_DEVICE unsigned key_of(float x) {
  const unsigned bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
TRIREME_DEVICE unsigned key_of(int32_t x) { return static_cast<unsigned>(x) ^ 0x80000000u; }
TRIREME_DEVICE void from_key(unsigned key, int32_t* x) {
  *x = static_cast<int32_t>(key ^ 0x80000000u);
}
// A key that no number has is that of the lowest.
TRIREME_DEVICE void from_key(unsigned key, float* x) {
  const unsigned lowest = 0x007fffffu;  // of −∞
  key = key < lowest ? lowest : key;
  *x = __uint_as_float(key & 0x80000000u ? key ^ 0x80000000u : ~key);
}

// A NaN is never larger. `keys` is zero before.
template <typename T>
TRIREME_DEVICE void segment_max(const RowIndices& indices, const T* x, unsigned* keys,
                                int64_t width) {
  for (int64_t i = global_thread(); i < indices.count * width; i += global_threads()) {
    const int64_t at = i / width, row = index_at(indices, at);
    if (!is_row(indices, row)) {
      report_row(indices, at, row);
      continue;
    }
    const Compute<T> value = to_compute(x[i]);
    if (value == value) atomicMax(&keys[row * width + i - at * width], key_of(value));
  }
}

template <typename T>
TRIREME_DEVICE void segment_max_values(const unsigned* keys, T* y, int64_t count) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    Compute<T> value;
    from_key(keys[i], &value);
    y[i] = from_compute<T>(value);
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_GATHER_AXIS_KERNEL(Unit, bytes)                                                   \
  TRIREME_KERNEL(gather_axis_##bytes,                                                             \
                 (const RowIndices indices, const Unit* x, Unit* y, int64_t total, int64_t outer, \
                  int64_t count, int64_t inner)) {                                                \
    gather_axis(indices, x, y, total, outer, count, inner);                                       \
  }
TRIREME_GATHER_AXIS_KERNEL(uint8_t, 1)
TRIREME_GATHER_AXIS_KERNEL(uint16_t, 2)
TRIREME_GATHER_AXIS_KERNEL(uint32_t, 4)
TRIREME_GATHER_AXIS_KERNEL(uint64_t, 8)

#define TRIREME_SCATTER_AXIS_KERNEL(dtype, T)                                                    \
  TRIREME_KERNEL(scatter_axis_##dtype,                                                           \
                 (const RowIndices indices, const T* updates, Compute<T>* sums, int64_t columns, \
                  int64_t outer, int64_t count, int64_t inner)) {                                \
    scatter_axis(indices, updates, sums, columns, outer, count, inner);                          \
  }
TRIREME_SCATTER_AXIS_KERNEL(f16, Half)
TRIREME_SCATTER_AXIS_KERNEL(bf16, BFloat16)
TRIREME_SCATTER_AXIS_KERNEL(f32, float)
TRIREME_SCATTER_AXIS_KERNEL(f64, double)
TRIREME_SCATTER_AXIS_KERNEL(i32, int32_t)
TRIREME_SCATTER_AXIS_KERNEL(i64, int64_t)

TRIREME_KERNEL(scatter_axis_round_f16, (const float* sums, Half* y, int64_t count)) {
  round_sums(sums, y, count);
}
TRIREME_KERNEL(scatter_axis_round_bf16, (const float* sums, BFloat16* y, int64_t count)) {
  round_sums(sums, y, count);
}

struct FlatAxes {
  int64_t sizes[8];
  int axes;
};

// indices.rows is not used: each coordinate has a limit of its own.
TRIREME_KERNEL(flat_index,
               (const RowIndices indices, const FlatAxes axes, int64_t* y, int64_t count)) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t row = 0;
    for (int axis = 0; axis < axes.axes; ++axis) {
      const int64_t position = i * axes.axes + axis, at = index_at(indices, position);
      RowIndices limited = indices;
      limited.rows = axes.sizes[axis];
      if (!is_row(limited, at)) {
        report_row(limited, position, at);
        row = 0;
        break;
      }
      row = row * axes.sizes[axis] + at;
    }
    y[i] = row;
  }
}

#define TRIREME_SEGMENT_MAX_KERNELS(dtype, T)                                               \
  TRIREME_KERNEL(segment_max_##dtype,                                                       \
                 (const RowIndices indices, const T* x, unsigned* keys, int64_t width)) {   \
    segment_max(indices, x, keys, width);                                                   \
  }                                                                                         \
  TRIREME_KERNEL(segment_max_values_##dtype, (const unsigned* keys, T* y, int64_t count)) { \
    segment_max_values(keys, y, count);                                                     \
  }
TRIREME_SEGMENT_MAX_KERNELS(f16, Half)
TRIREME_SEGMENT_MAX_KERNELS(bf16, BFloat16)
TRIREME_SEGMENT_MAX_KERNELS(f32, float)
TRIREME_SEGMENT_MAX_KERNELS(i32, int32_t)
