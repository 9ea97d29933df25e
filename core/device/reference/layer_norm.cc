#include <cmath>
#include <vector>

#include "core/device/reference/register.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel layer_norm(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(0).dim(-1);
  const int64_t rows = spec.input_shape(0).elements() / channels;
  const double epsilon = spec.attribute<double>("epsilon");
  return {[=](const KernelArgs& args) {
    for (int64_t row = 0; row < rows; ++row) {
      const T* const x = args.in<T>(0) + row * channels;
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < channels; ++c) mean += x[c];
      mean /= static_cast<double>(channels);
      for (int64_t c = 0; c < channels; ++c) variance += std::pow(x[c] - mean, 2);
      const double r = 1 / std::sqrt(variance / static_cast<double>(channels) + epsilon);
      for (int64_t c = 0; c < channels; ++c) {
        args.out<T>(0)[row * channels + c] =
            static_cast<T>((x[c] - mean) * r * args.in<T>(1)[c] + args.in<T>(2)[c]);
      }
      args.out<T>(1)[row] = static_cast<T>(mean);
      args.out<T>(2)[row] = static_cast<T>(r);
    }
  }};
}

template <typename T>
PreparedKernel layer_norm_grad(const KernelSpec& spec) {
  const int64_t channels = spec.input_shape(1).dim(-1);
  const int64_t rows = spec.input_shape(1).elements() / channels;
  return {[=](const KernelArgs& args) {
    std::vector<double> dgamma(static_cast<size_t>(channels)), dbeta(dgamma);
    for (int64_t row = 0; row < rows; ++row) {
      const T *const dy = args.in<T>(0) + row * channels, *const x = args.in<T>(1) + row * channels;
      T* const dx = args.out<T>(0) + row * channels;
      const double mean = args.in<T>(3)[row], r = args.in<T>(4)[row];
      double sum = 0, weighted = 0;
      for (int64_t c = 0; c < channels; ++c) {
        const double x_hat = (x[c] - mean) * r, g = static_cast<double>(dy[c]) * args.in<T>(2)[c];
        sum += g;
        weighted += g * x_hat;
        dgamma[static_cast<size_t>(c)] += dy[c] * x_hat;
        dbeta[static_cast<size_t>(c)] += dy[c];
      }
      for (int64_t c = 0; c < channels; ++c) {
        const double x_hat = (x[c] - mean) * r, g = static_cast<double>(dy[c]) * args.in<T>(2)[c];
        dx[c] = static_cast<T>(r * (g - (sum + x_hat * weighted) / static_cast<double>(channels)));
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      args.out<T>(1)[c] = static_cast<T>(dgamma[static_cast<size_t>(c)]);
      args.out<T>(2)[c] = static_cast<T>(dbeta[static_cast<size_t>(c)]);
    }
  }};
}

}  // namespace

void register_reference_layer_norm(KernelTable& table) {
  add_for<float, double>(table, "LayerNorm", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return layer_norm<T>(spec); });
  add_for<float, double>(
      table, "LayerNormGrad", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return layer_norm_grad<T>(spec); });
}

}  // namespace trireme
