// The dot products of all pairs of an example's vectors, and their gradient.
#include "core/device/cuda/kernels/row_indices.cuh"

namespace trireme::cuda {

// The larger number of pair `at`, counted by it and then by the smaller one.
TRIREME_DEVICE int64_t larger_of(int64_t at) {
  int64_t i = static_cast<int64_t>((1 + sqrt(1.0 + 8.0 * static_cast<double>(at))) / 2);
  // The root is rounded.
  while (i * (i - 1) / 2 > at) --i;
  while ((i + 1) * i / 2 <= at) ++i;
  return i;
}

template <typename T>
TRIREME_DEVICE void pairwise_dots(const T* x, T* y, int64_t count, int64_t n, int64_t dim) {
  const int64_t pairs = n * (n - 1) / 2;
  for (int64_t out = global_thread(); out < count; out += global_threads()) {
    const int64_t example = quotient(out, pairs), pair = out - example * pairs;
    const int64_t i = larger_of(pair), j = pair - i * (i - 1) / 2;
    const T *a = x + (example * n + i) * dim, *b = x + (example * n + j) * dim;
    Compute<T> sum = 0;
    for (int64_t k = 0; k < dim; ++k) sum += to_compute(a[k]) * to_compute(b[k]);
    y[out] = from_compute<T>(sum);
  }
}

template <typename T>
TRIREME_DEVICE void pairwise_dots_grad(const T* x, const T* dy, T* dx, int64_t count, int64_t n,
                                       int64_t dim) {
  const int64_t pairs = n * (n - 1) / 2;
  for (int64_t out = global_thread(); out < count; out += global_threads()) {
    const int64_t row = quotient(out, dim), k = out - row * dim;
    const int64_t example = quotient(row, n), i = row - example * n;
    const T* vectors = x + example * n * dim + k;
    const T* weights = dy + example * pairs;
    Compute<T> sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (j == i) continue;
      const int64_t high = i > j ? i : j, low = i > j ? j : i;
      sum += to_compute(weights[high * (high - 1) / 2 + low]) * to_compute(vectors[j * dim]);
    }
    dx[out] = from_compute<T>(sum);
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_PAIRWISE_KERNELS(T, suffix)                                                 \
  TRIREME_KERNEL(pairwise_dots_##suffix,                                                    \
                 (const T* x, T* y, int64_t count, int64_t n, int64_t dim)) {               \
    pairwise_dots(x, y, count, n, dim);                                                     \
  }                                                                                         \
  TRIREME_KERNEL(pairwise_dots_grad_##suffix,                                               \
                 (const T* x, const T* dy, T* dx, int64_t count, int64_t n, int64_t dim)) { \
    pairwise_dots_grad(x, dy, dx, count, n, dim);                                           \
  }

TRIREME_PAIRWISE_KERNELS(Half, f16)
TRIREME_PAIRWISE_KERNELS(BFloat16, bf16)
TRIREME_PAIRWISE_KERNELS(float, f32)
TRIREME_PAIRWISE_KERNELS(double, f64)
