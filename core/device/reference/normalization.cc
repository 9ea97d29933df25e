#include <cmath>

#include "core/device/reference/register.h"

namespace trireme {
namespace {

struct Moments {
  double mean = 0, variance = 0;
};

// Of channel `c`, over all rows; the variance is biased.
template <typename T>
Moments channel_moments(const T* x, int64_t rows, int64_t channels, int64_t c) {
  Moments m;
  for (int64_t r = 0; r < rows; ++r) m.mean += x[r * channels + c];
  m.mean /= static_cast<double>(rows);
  for (int64_t r = 0; r < rows; ++r) m.variance += std::pow(x[r * channels + c] - m.mean, 2);
  m.variance /= static_cast<double>(rows);
  return m;
}

template <typename T>
PreparedKernel batch_norm(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(0).dim(-1);
  const int64_t rows = spec.input_shape(0).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  return {[=](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    for (int64_t c = 0; c < channels; ++c) {
      const auto [mean, variance] = channel_moments(x, rows, channels, c);
      const double factor = args.in<T>(1)[c] / std::sqrt(variance + epsilon);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t i = r * channels + c;
        args.out<T>(0)[i] = static_cast<T>((x[i] - mean) * factor + args.in<T>(2)[c]);
      }
      args.out<T>(1)[c] = static_cast<T>(mean);
      args.out<T>(2)[c] = static_cast<T>(variance);
    }
  }};
}

template <typename T>
PreparedKernel batch_norm_statistics(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(0).dim(-1);
  const int64_t rows = spec.input_shape(0).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  return {[=](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    for (int64_t c = 0; c < channels; ++c) {
      const auto [mean, variance] = channel_moments(x, rows, channels, c);
      args.out<T>(0)[c] = static_cast<T>(mean);
      args.out<T>(1)[c] = static_cast<T>(variance);
      args.out<T>(2)[c] = static_cast<T>(args.in<T>(1)[c] / std::sqrt(variance + epsilon));
    }
  }};
}

template <typename T>
PreparedKernel batch_norm_grad(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(1).dim(-1);
  const int64_t rows = spec.input_shape(1).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  return {[=](const KernelArgs& args) {
    const T *dy = args.in<T>(0), *x = args.in<T>(1);
    for (int64_t c = 0; c < channels; ++c) {
      const double scale = args.in<T>(2)[c], mean = args.in<T>(3)[c];
      const double r = 1 / std::sqrt(args.in<T>(4)[c] + epsilon);
      double dscale = 0, doffset = 0;
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t i = row * channels + c;
        doffset += dy[i];
        dscale += dy[i] * (x[i] - mean) * r;
      }
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t i = row * channels + c;
        const double x_hat = (x[i] - mean) * r;
        args.out<T>(0)[i] = static_cast<T>(
            scale * r * (dy[i] - (doffset + x_hat * dscale) / static_cast<double>(rows)));
      }
      args.out<T>(1)[c] = static_cast<T>(dscale);
      args.out<T>(2)[c] = static_cast<T>(doffset);
    }
  }};
}

}  // namespace

void register_batch_norm_statistics(KernelTable& table, std::string_view kind) {
  add_for<float, double>(
      table, "BatchNormStatistics", kind,
      []<typename T>(const KernelSpec& spec) { return batch_norm_statistics<T>(spec); });
}

void register_reference_normalization(KernelTable& table) {
  register_batch_norm_statistics(table, kReferenceKind);
  add_for<float, double>(table, "BatchNorm", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return batch_norm<T>(spec); });
  add_for<float, double>(
      table, "BatchNormGrad", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return batch_norm_grad<T>(spec); });
}

}  // namespace trireme
