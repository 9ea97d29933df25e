// Softmax and cross entropies. A row of classes belongs to one warp when it is short, else to one
// block; it is read from memory once, and again from the cache.
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {

TRIREME_DEVICE float exponential(float x) { return expf(x); }
TRIREME_DEVICE double exponential(double x) { return exp(x); }
TRIREME_DEVICE float logarithm(float x) { return logf(x); }
TRIREME_DEVICE double logarithm(double x) { return log(x); }
TRIREME_DEVICE float logarithm_1p(float x) { return log1pf(x); }
TRIREME_DEVICE double logarithm_1p(double x) { return log1p(x); }

// The threads that share a row: a warp.
struct Warp {
  static TRIREME_DEVICE int64_t first_row() { return global_thread() / 32; }
  static TRIREME_DEVICE int64_t row_step() { return global_threads() / 32; }
  static TRIREME_DEVICE int rank() { return static_cast<int>(threadIdx.x % 32); }
  static TRIREME_DEVICE int size() { return 32; }
  template <typename C, typename Join>
  static TRIREME_DEVICE C reduce(C value, C, Join join) {
    for (int step = 16; step > 0; step /= 2)
      value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
  }
};

// Or a block.
struct Block {
  static TRIREME_DEVICE int64_t first_row() { return blockIdx.x; }
  static TRIREME_DEVICE int64_t row_step() { return gridDim.x; }
  static TRIREME_DEVICE int rank() { return static_cast<int>(threadIdx.x); }
  static TRIREME_DEVICE int size() { return static_cast<int>(blockDim.x); }
  template <typename C, typename Join>
  static TRIREME_DEVICE C reduce(C value, C neutral, Join join) {
    return block_reduce(value, neutral, join);
  }
};

// The largest x of a row and Σ e^(x − largest); every thread of the group gets them.
template <typename C>
struct RowSum {
  C largest, sum;
};

template <typename Group, typename T>
TRIREME_DEVICE RowSum<Compute<T>> sum_row(const T* x, int64_t classes) {
  using C = Compute<T>;
  const C lowest = -static_cast<C>(INFINITY);
  C largest = lowest;
  for (int64_t c = Group::rank(); c < classes; c += Group::size()) {
    const C value = to_compute(x[c]);
    largest = largest < value ? value : largest;
  }
  largest = Group::reduce(largest, lowest, [](C a, C b) { return a < b ? b : a; });
  C sum = 0;
  for (int64_t c = Group::rank(); c < classes; c += Group::size()) {
    sum += exponential(to_compute(x[c]) - largest);
  }
  return {largest, Group::reduce(sum, C(0), [](C a, C b) { return a + b; })};
}

// `y` may be `x`.
template <typename Group, typename T>
TRIREME_DEVICE void softmax(const T* x, T* y, int64_t rows, int64_t classes, bool is_logarithm) {
  using C = Compute<T>;
  for (int64_t row = Group::first_row(); row < rows; row += Group::row_step()) {
    const T* const from = x + row * classes;
    T* const to = y + row * classes;
    const RowSum<C> total = sum_row<Group>(from, classes);
    const C factor = 1 / total.sum, shift = logarithm(total.sum);
    for (int64_t c = Group::rank(); c < classes; c += Group::size()) {
      const C centred = to_compute(from[c]) - total.largest;
      to[c] = from_compute<T>(is_logarithm ? centred - shift : exponential(centred) * factor);
    }
  }
}

// A row whose label is out of range gets zeros: it must not move a weight.
template <typename Group, typename T>
TRIREME_DEVICE void sparse_cross_entropy(const T* x, const void* labels, int is_i64, T* loss,
                                         T* derivative, int64_t rows, int64_t classes,
                                         DeviceFault* fault, uint32_t site) {
  using C = Compute<T>;
  for (int64_t row = Group::first_row(); row < rows; row += Group::row_step()) {
    const T* const from = x + row * classes;
    T* const to = derivative + row * classes;
    const int64_t label = is_i64 ? static_cast<const int64_t*>(labels)[row]
                                 : static_cast<const int32_t*>(labels)[row];
    const bool is_valid = label >= 0 && label < classes;
    const RowSum<C> total = sum_row<Group>(from, classes);
    const C factor = 1 / total.sum;
    if (Group::rank() == 0) {
      if (!is_valid) report_fault(fault, site, row, label, classes);
      loss[row] = from_compute<T>(
          is_valid ? logarithm(total.sum) - (to_compute(from[label]) - total.largest) : C(0));
    }
    for (int64_t c = Group::rank(); c < classes; c += Group::size()) {
      const C probability = exponential(to_compute(from[c]) - total.largest) * factor;
      to[c] = from_compute<T>(is_valid ? probability - (c == label ? C(1) : C(0)) : C(0));
    }
  }
}

// `y` may be `x` or `z`.
template <typename T>
TRIREME_DEVICE void sigmoid_cross_entropy(const T* x, const T* z, T* y, int64_t count) {
  using C = Compute<T>;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    const C logit = to_compute(x[i]), label = to_compute(z[i]);
    const C distance = logit < 0 ? -logit : logit;
    y[i] = from_compute<T>((logit > 0 ? logit : C(0)) - logit * label +
                           logarithm_1p(exponential(-distance)));
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_LOSS_KERNELS(T, suffix)                                                           \
  TRIREME_KERNEL(softmax_of_warps_##suffix,                                                       \
                 (const T* x, T* y, int64_t rows, int64_t classes, int is_logarithm)) {           \
    softmax<Warp>(x, y, rows, classes, is_logarithm != 0);                                        \
  }                                                                                               \
  TRIREME_KERNEL(softmax_of_blocks_##suffix,                                                      \
                 (const T* x, T* y, int64_t rows, int64_t classes, int is_logarithm)) {           \
    softmax<Block>(x, y, rows, classes, is_logarithm != 0);                                       \
  }                                                                                               \
  TRIREME_KERNEL(sparse_cross_entropy_of_warps_##suffix,                                          \
                 (const T* x, const void* labels, int is_i64, T* loss, T* derivative,             \
                  int64_t rows, int64_t classes, DeviceFault* fault, uint32_t site)) {            \
    sparse_cross_entropy<Warp>(x, labels, is_i64, loss, derivative, rows, classes, fault, site);  \
  }                                                                                               \
  TRIREME_KERNEL(sparse_cross_entropy_of_blocks_##suffix,                                         \
                 (const T* x, const void* labels, int is_i64, T* loss, T* derivative,             \
                  int64_t rows, int64_t classes, DeviceFault* fault, uint32_t site)) {            \
    sparse_cross_entropy<Block>(x, labels, is_i64, loss, derivative, rows, classes, fault, site); \
  }                                                                                               \
  TRIREME_KERNEL(sigmoid_cross_entropy_##suffix, (const T* x, const T* z, T* y, int64_t count)) { \
    sigmoid_cross_entropy(x, z, y, count);                                                        \
  }

TRIREME_LOSS_KERNELS(Half, f16)
TRIREME_LOSS_KERNELS(BFloat16, bf16)
TRIREME_LOSS_KERNELS(float, f32)
TRIREME_LOSS_KERNELS(double, f64)
