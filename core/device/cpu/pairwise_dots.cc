// An example's vectors are a small matrix, X: n rows of `dim`. Its products with itself are taken
// 16 columns at a time from registers; only those below the diagonal are computed and stored.
#include <algorithm>

#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"

namespace trireme::cpu {
namespace {

// Columns that are computed together: a register of AVX-512, or two of AVX2.
constexpr int64_t kColumns = 16;

constexpr int64_t rounded_up(int64_t size) { return (size + kColumns - 1) / kColumns * kColumns; }

struct Sizes {
  int64_t examples, n, dim, pairs, wide_n, wide_dim;
  explicit Sizes(const Shape& x)
      : examples(x[0]),
        n(x[1]),
        dim(x[2]),
        pairs(n * (n - 1) / 2),
        wide_n(rounded_up(n)),
        wide_dim(rounded_up(dim)) {}
  // Examples that are worth a thread.
  int64_t grain() const {
    return std::max<int64_t>(1, 2 * kGrain / std::max<int64_t>(1, n * n * dim));
  }
};

// to[0, kColumns) = Σ over k of scale[k · scale_step] · rows[k · row_step + (0 … kColumns − 1)]
template <typename T>
inline void weighted_sum(const T* scale, int64_t scale_step, const T* rows, int64_t row_step,
                         int64_t count, T* to) {
  T sum[kColumns] = {};
  for (int64_t k = 0; k < count; ++k) {
    const T a = scale[k * scale_step];
    for (int64_t c = 0; c < kColumns; ++c) sum[c] += a * rows[k * row_step + c];
  }
  std::copy_n(sum, kColumns, to);
}

template <typename T>
PreparedKernel dots(const KernelSpec& spec) {
  const Sizes s(spec.input_shape(0));
  return {[s](const KernelArgs& args) {
    parallel_for(s.examples, s.grain(), [&](int64_t begin, int64_t end) {
      // X with the vectors as columns, padded with zeros; then a row of products.
      thread_local std::vector<T> room;
      room.assign(static_cast<size_t>((s.dim + 1) * s.wide_n), T(0));
      T *columns = room.data(), *row = columns + s.dim * s.wide_n;
      for (int64_t b = begin; b < end; ++b) {
        const T* x = args.in<T>(0) + b * s.n * s.dim;
        T* y = args.out<T>() + b * s.pairs;
        for (int64_t i = 0; i < s.n; ++i) {
          for (int64_t k = 0; k < s.dim; ++k) columns[k * s.wide_n + i] = x[i * s.dim + k];
        }
        for (int64_t i = 1; i < s.n; ++i) {
          for (int64_t j = 0; j < i; j += kColumns) {
            weighted_sum(x + i * s.dim, 1, columns + j, s.wide_n, s.dim, row + j);
          }
          y = std::copy_n(row, i, y);
        }
      }
    });
  }};
}

template <typename T>
PreparedKernel gradient(const KernelSpec& spec) {
  const Sizes s(spec.input_shape(0));
  return {[s](const KernelArgs& args) {
    parallel_for(s.examples, s.grain(), [&](int64_t begin, int64_t end) {
      // dy as a symmetric matrix; then X with rows of whole registers, where they are not already.
      thread_local std::vector<T> room;
      room.assign(static_cast<size_t>(s.n * s.n + (s.n + 1) * s.wide_dim), T(0));
      T *weights = room.data(), *padded = weights + s.n * s.n, *row = padded + s.n * s.wide_dim;
      for (int64_t b = begin; b < end; ++b) {
        const T* x = args.in<T>(0) + b * s.n * s.dim;
        const T* dy = args.in<T>(1) + b * s.pairs;
        T* dx = args.out<T>() + b * s.n * s.dim;
        for (int64_t i = 1; i < s.n; ++i) {
          for (int64_t j = 0; j < i; ++j) weights[i * s.n + j] = weights[j * s.n + i] = *dy++;
        }
        const bool is_padded = s.wide_dim != s.dim;
        if (is_padded) {
          for (int64_t i = 0; i < s.n; ++i) {
            std::copy_n(x + i * s.dim, s.dim, padded + i * s.wide_dim);
          }
        }
        const T* rows = is_padded ? padded : x;
        for (int64_t i = 0; i < s.n; ++i, dx += s.dim) {
          for (int64_t k = 0; k < s.dim; k += kColumns) {
            weighted_sum(weights + i * s.n, 1, rows + k, s.wide_dim, s.n,
                         is_padded ? row + k : dx + k);
          }
          if (is_padded) std::copy_n(row, s.dim, dx);
        }
      }
    });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_pairwise_dots(KernelTable& table) {
  add_for<float, double>(table, "PairwiseDots", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return cpu::dots<T>(spec); });
  add_for<float, double>(table, "PairwiseDotsGrad", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return cpu::gradient<T>(spec); });
}

}  // namespace trireme
