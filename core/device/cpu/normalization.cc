// Batch normalisation: sums down the columns of a [rows, channels] matrix, then one pass that
// writes.
#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

// Two sums a channel, split over `parts` ranges of rows; lives in the kernel's scratch memory.
// Terms are added in T for kBlock rows at a time, and these in double: exact enough for any number
// of rows, and quick.
template <typename T>
class ColumnSums {
 public:
  static constexpr int64_t kBlock = 64;

  ColumnSums(int64_t rows, int64_t channels)
      : rows_(rows), channels_(channels), parts_(std::min<int64_t>(compute_threads(), 64)) {}

  size_t scratch_bytes() const {
    return static_cast<size_t>(parts_ * 2 * channels_) * (sizeof(double) + sizeof(T));
  }

  // Sets a[c] = Σ over rows of the first term, b[c] of the second, both at the front of scratch.
  // term(element, channel, a, b) adds to its last two arguments.
  template <typename Term>
  void run(void* scratch, const double*& a, const double*& b, Term term) const {
    double* const sums = static_cast<double*>(scratch);
    T* const blocks = reinterpret_cast<T*>(sums + parts_ * 2 * channels_);
    parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        double* const sum = sums + part * 2 * channels_;
        T* const __restrict first = blocks + part * 2 * channels_;
        T* const __restrict second = first + channels_;
        std::fill_n(sum, 2 * channels_, 0.0);
        const int64_t last_row = rows_ * (part + 1) / parts_;
        for (int64_t start = rows_ * part / parts_; start < last_row; start += kBlock) {
          std::fill_n(first, 2 * channels_, T{0});
          for (int64_t r = start; r < std::min(start + kBlock, last_row); ++r) {
            for (int64_t c = 0; c < channels_; ++c) {
              term(r * channels_ + c, c, first[c], second[c]);
            }
          }
          for (int64_t c = 0; c < 2 * channels_; ++c) sum[c] += first[c];
        }
      }
    });
    for (int64_t part = 1; part < parts_; ++part) {
      for (int64_t c = 0; c < 2 * channels_; ++c) sums[c] += sums[part * 2 * channels_ + c];
    }
    a = sums;
    b = sums + channels_;
  }

 private:
  int64_t rows_, channels_, parts_;
};

int64_t row_grain(int64_t channels) { return std::max<int64_t>(1, 16384 / channels); }

template <typename T>
PreparedKernel batch_norm(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(0).dim(-1);
  const int64_t rows = channels == 0 ? 0 : spec.input_shape(0).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  const ColumnSums<T> sums(rows, channels);
  // Behind the sums: a factor and a shift a channel.
  const size_t factors_at = align_up(sums.scratch_bytes());
  return {[=](const KernelArgs& args) {
            const T* const x = args.in<T>(0);
            T *const mean = args.out<T>(1), *const variance = args.out<T>(2);
            const double *a, *b;
            sums.run(args.scratch, a, b, [x](int64_t i, int64_t, T& sum, T&) { sum += x[i]; });
            for (int64_t c = 0; c < channels; ++c)
              mean[c] = static_cast<T>(a[c] / static_cast<double>(rows));
            // Around the rounded mean; what the rounding leaves over is subtracted below.
            sums.run(args.scratch, a, b, [x, mean](int64_t i, int64_t c, T& sum, T& squares) {
              const T centred = x[i] - mean[c];
              sum += centred;
              squares += centred * centred;
            });
            T* const factor = reinterpret_cast<T*>(static_cast<char*>(args.scratch) + factors_at);
            T* const shift = factor + channels;
            for (int64_t c = 0; c < channels; ++c) {
              const double left = a[c] / static_cast<double>(rows);
              const double spread = std::max(b[c] / static_cast<double>(rows) - left * left, 0.0);
              variance[c] = static_cast<T>(spread);
              factor[c] = static_cast<T>(args.in<T>(1)[c] / std::sqrt(spread + epsilon));
              shift[c] = args.in<T>(2)[c];
            }
            parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end) {
              T* const __restrict y = args.out<T>(0);
              for (int64_t r = begin; r < end; ++r) {
                const int64_t row = r * channels;
                for (int64_t c = 0; c < channels; ++c) {
                  y[row + c] = (x[row + c] - mean[c]) * factor[c] + shift[c];
                }
              }
            });
          },
          factors_at + 2 * static_cast<size_t>(channels) * sizeof(T)};
}

template <typename T>
PreparedKernel batch_norm_grad(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(1).dim(-1);
  const int64_t rows = channels == 0 ? 0 : spec.input_shape(1).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  const ColumnSums<T> sums(rows, channels);
  const size_t factors_at = align_up(sums.scratch_bytes());
  return {
      [=](const KernelArgs& args) {
        const T *const dy = args.in<T>(0), *const x = args.in<T>(1), *const mean = args.in<T>(3);
        const double *a, *b;
        sums.run(args.scratch, a, b, [=](int64_t i, int64_t c, T& sum, T& product) {
          sum += dy[i];
          product += dy[i] * (x[i] - mean[c]);
        });
        // dx = dy·factor − (x − mean)·slope − shift
        T* const factor = reinterpret_cast<T*>(static_cast<char*>(args.scratch) + factors_at);
        T *const slope = factor + channels, *const shift = slope + channels;
        for (int64_t c = 0; c < channels; ++c) {
          const double r = 1 / std::sqrt(args.in<T>(4)[c] + epsilon);
          const double scaled = args.in<T>(2)[c] * r;
          args.out<T>(1)[c] = static_cast<T>(b[c] * r);
          args.out<T>(2)[c] = static_cast<T>(a[c]);
          factor[c] = static_cast<T>(scaled);
          slope[c] = static_cast<T>(scaled * r * r * b[c] / static_cast<double>(rows));
          shift[c] = static_cast<T>(scaled * a[c] / static_cast<double>(rows));
        }
        parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end) {
          T* const __restrict dx = args.out<T>(0);
          for (int64_t r = begin; r < end; ++r) {
            const int64_t row = r * channels;
            for (int64_t c = 0; c < channels; ++c) {
              dx[row + c] = dy[row + c] * factor[c] - (x[row + c] - mean[c]) * slope[c] - shift[c];
            }
          }
        });
      },
      factors_at + 3 * static_cast<size_t>(channels) * sizeof(T)};
}

}  // namespace

void register_cpu_normalization(KernelTable& table) {
  add_for<float, double>(table, "BatchNorm", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return batch_norm<T>(spec); });
  add_for<float, double>(table, "BatchNormGrad", kCpuKind, []<typename T>(const KernelSpec& spec) {
    return batch_norm_grad<T>(spec);
  });
}

}  // namespace trireme
