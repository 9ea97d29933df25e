// Layer normalisation: one pass over each row, and for the gradient sums down the columns besides.
//
// Rows are cut into parts by their number alone, so that results do not depend on the threads.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/base/parallel.h"
#include "core/device/cpu/register.h"
#include "core/device/element.h"
#include "core/device/small_floats.h"

namespace trireme {
namespace {

constexpr int64_t kLanes = 16;

// Σ of term(c); in as many sums as fill vectors, so that they need not wait for each other.
template <typename C, typename Term>
C row_sum(int64_t channels, Term term) {
  C sums[kLanes] = {};
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) sums[k] += term(c + k);
  }
  for (; c < channels; ++c) sums[0] += term(c);
  C sum = 0;
  for (C x : sums) sum += x;
  return sum;
}

// A row as numbers that are computed with: where it lies, or a copy of 16-bit floats in `copy`.
template <typename T>
const ComputeType<T>* as_computed(const T* row, int64_t channels, ComputeType<T>* copy) {
  if constexpr (is_small_float<T>) {
    widen(row, copy, channels);
    return copy;
  } else {
    return row;
  }
}

struct Rows {
  int64_t rows, channels, parts;

  Rows(const KernelSpec& spec, int input)
      : rows(0), channels(spec.input_shape(input).dim(-1)), parts(1) {
    constexpr int64_t kLeast = 1 << 14, kMostParts = 32;
    rows = spec.input_shape(input).elements() / channels;
    parts = std::clamp<int64_t>(rows * channels / kLeast, 1, kMostParts);
    parts = std::min(parts, std::max<int64_t>(rows, 1));
  }
  int64_t begin(int64_t part) const { return rows * part / parts; }
};

template <typename T>
PreparedKernel layer_norm(const KernelSpec& spec) {
  using C = ComputeType<T>;
  const Rows all(spec, 0);
  const double epsilon = spec.attribute<double>("epsilon");
  constexpr int64_t kCopies = is_small_float<T> ? 2 : 0;
  return {[=](const KernelArgs& args) {
            parallel_for(all.parts, 1, [&](int64_t begin, int64_t end) {
              const int64_t n = all.channels;
              C* const copy = static_cast<C*>(args.scratch) + begin * kCopies * n;
              const C *const gamma = args.in<C>(1), *const beta = args.in<C>(2);
              for (int64_t row = all.begin(begin); row < all.begin(end); ++row) {
                const C* const x = as_computed(args.in<T>(0) + row * n, n, copy);
                const C mean = row_sum<C>(n, [&](int64_t c) { return x[c]; }) / static_cast<C>(n);
                const C variance = row_sum<C>(n,
                                              [&](int64_t c) {
                                                const C centred = x[c] - mean;
                                                return centred * centred;
                                              }) /
                                   static_cast<C>(n);
                const C r = 1 / std::sqrt(variance + static_cast<C>(epsilon));
                T* const to = args.out<T>(0) + row * n;
                C* y;
                if constexpr (is_small_float<T>) {
                  y = copy + n;
                } else {
                  y = to;
                }
                for (int64_t c = 0; c < n; ++c) y[c] = (x[c] - mean) * r * gamma[c] + beta[c];
                if constexpr (is_small_float<T>) narrow(y, to, n);
                args.out<C>(1)[row] = mean;
                args.out<C>(2)[row] = r;
              }
            });
          },
          static_cast<size_t>(all.parts * kCopies * all.channels) * sizeof(C)};
}

// Scratch of a part: its sums in double, its sums of some rows, and copies of rows.
template <typename C>
struct GradSpace {
  double* sums;
  C *block, *copies;
  GradSpace(void* scratch, int64_t channels, int64_t copies, int64_t part) {
    char* const at = static_cast<char*>(scratch) + part * bytes(channels, copies);
    sums = reinterpret_cast<double*>(at);
    block = reinterpret_cast<C*>(sums + 2 * channels);
    this->copies = block + 2 * channels;
  }
  static int64_t bytes(int64_t channels, int64_t copies) {
    const int64_t size = 2 * channels * static_cast<int64_t>(sizeof(double)) +
                         (2 + copies) * channels * static_cast<int64_t>(sizeof(C));
    return (size + 63) / 64 * 64;
  }
};

// Rows [begin, end): writes dx, adds to dgamma and dbeta. dx may be dy.
template <typename T>
void grad_rows(const KernelArgs& args, int64_t n, int64_t begin, int64_t end,
               ComputeType<T>* __restrict dgamma, ComputeType<T>* __restrict dbeta,
               ComputeType<T>* copies) {
  using C = ComputeType<T>;
  const C* const __restrict gamma = args.in<C>(2);
  for (int64_t row = begin; row < end; ++row) {
    const C* const dy = as_computed(args.in<T>(0) + row * n, n, copies);
    const C* const x = as_computed(args.in<T>(1) + row * n, n, copies + n);
    const C mean = args.in<C>(3)[row], r = args.in<C>(4)[row];
    C sums[kLanes] = {}, weighted[kLanes] = {};
    int64_t c = 0;
    const auto term = [&](int64_t at, int64_t lane) {
      const C x_hat = (x[at] - mean) * r, g = dy[at] * gamma[at];
      sums[lane] += g;
      weighted[lane] += g * x_hat;
      dgamma[at] += dy[at] * x_hat;
      dbeta[at] += dy[at];
    };
    for (; c + kLanes <= n; c += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k) term(c + k, k);
    }
    for (; c < n; ++c) term(c, 0);
    C sum = 0, weighted_sum = 0;
    for (int64_t k = 0; k < kLanes; ++k) {
      sum += sums[k];
      weighted_sum += weighted[k];
    }
    const C mean_g = sum / static_cast<C>(n), mean_gx = weighted_sum / static_cast<C>(n);
    T* const to = args.out<T>(0) + row * n;
    C* dx;
    if constexpr (is_small_float<T>) {
      dx = copies + 2 * n;
    } else {
      dx = to;
    }
    for (int64_t k = 0; k < n; ++k) {
      dx[k] = r * (dy[k] * gamma[k] - mean_g - (x[k] - mean) * r * mean_gx);
    }
    if constexpr (is_small_float<T>) narrow(dx, to, n);
  }
}

template <typename T>
PreparedKernel layer_norm_grad(const KernelSpec& spec) {
  using C = ComputeType<T>;
  const Rows all(spec, 1);
  constexpr int64_t kCopies = is_small_float<T> ? 3 : 0, kBlock = 64;
  return {[=](const KernelArgs& args) {
            const int64_t n = all.channels;
            parallel_for(all.parts, 1, [&](int64_t begin, int64_t end) {
              for (int64_t part = begin; part < end; ++part) {
                const GradSpace<C> space(args.scratch, n, kCopies, part);
                std::fill_n(space.sums, 2 * n, 0.0);
                const int64_t last = all.begin(part + 1);
                for (int64_t row = all.begin(part); row < last; row += kBlock) {
                  std::fill_n(space.block, 2 * n, C{0});
                  grad_rows<T>(args, n, row, std::min(row + kBlock, last), space.block,
                               space.block + n, space.copies);
                  for (int64_t c = 0; c < 2 * n; ++c) {
                    space.sums[c] += static_cast<double>(space.block[c]);
                  }
                }
              }
            });
            for (int64_t c = 0; c < n; ++c) {
              double dgamma = 0, dbeta = 0;
              for (int64_t part = 0; part < all.parts; ++part) {
                const double* const sums = GradSpace<C>(args.scratch, n, kCopies, part).sums;
                dgamma += sums[c];
                dbeta += sums[n + c];
              }
              args.out<C>(1)[c] = static_cast<C>(dgamma);
              args.out<C>(2)[c] = static_cast<C>(dbeta);
            }
          },
          static_cast<size_t>(all.parts * GradSpace<C>::bytes(all.channels, kCopies))};
}

}  // namespace

void register_cpu_layer_norm(KernelTable& table) {
  add_for<float, double, Half, BFloat16>(
      table, "LayerNorm", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return layer_norm<T>(spec); });
  add_for<float, double, Half, BFloat16>(
      table, "LayerNormGrad", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return layer_norm_grad<T>(spec); });
}

}  // namespace trireme
