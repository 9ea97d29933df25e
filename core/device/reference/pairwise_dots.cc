#include "core/device/reference/index.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel dots(const KernelSpec& spec) {
  const Shape shape = spec.input_shape(0);
  return {[shape](const KernelArgs& args) {
    const int64_t n = shape[1], dim = shape[2];
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    for (int64_t b = 0; b < shape[0]; ++b, x += n * dim) {
      for (int64_t i = 1; i < n; ++i) {
        for (int64_t j = 0; j < i; ++j) {
          WideType<T> sum = 0;
          for (int64_t k = 0; k < dim; ++k) {
            sum += convert<WideType<T>>(x[i * dim + k]) * convert<WideType<T>>(x[j * dim + k]);
          }
          *y++ = convert<T>(sum);
        }
      }
    }
  }};
}

template <typename T>
PreparedKernel gradient(const KernelSpec& spec) {
  const Shape shape = spec.input_shape(0);
  return {[shape](const KernelArgs& args) {
    const int64_t n = shape[1], dim = shape[2];
    const T *x = args.in<T>(0), *dy = args.in<T>(1);
    T* dx = args.out<T>();
    for (int64_t b = 0; b < shape[0]; ++b, x += n * dim, dy += n * (n - 1) / 2) {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t k = 0; k < dim; ++k) {
          WideType<T> sum = 0;
          for (int64_t j = 0; j < n; ++j) {
            if (j == i) continue;
            const int64_t high = std::max(i, j), low = std::min(i, j);
            sum += convert<WideType<T>>(dy[high * (high - 1) / 2 + low]) *
                   convert<WideType<T>>(x[j * dim + k]);
          }
          *dx++ = convert<T>(sum);
        }
      }
    }
  }};
}

}  // namespace

void register_reference_pairwise_dots(KernelTable& table) {
  add_for<Half, BFloat16, float, double>(
      table, "PairwiseDots", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return dots<T>(spec); });
  add_for<Half, BFloat16, float, double>(
      table, "PairwiseDotsGrad", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return gradient<T>(spec); });
}

}  // namespace trireme
