// y = activation(x + bias), the bias along the last axis. y may be x.
#include "core/device/cuda/kernels/window.cuh"

using namespace trireme::cuda;

namespace {

// In the order of BiasActivation's list of names (matmul_plan.cc).
enum { kNone = 0, kRelu = 1, kSigmoid = 2, kTanh = 3 };

template <typename C>
TRIREME_DEVICE C activate(C x, int32_t activation) {
  switch (activation) {
    case kRelu:
      return x > C(0) ? x : C(0);
    case kSigmoid:
      return C(1) / (C(1) + exp(-x));
    case kTanh:
      return tanh(x);
    default:
      return x;
  }
}

template <typename T, int N>
TRIREME_DEVICE void add_bias(const T* x, const T* bias, T* y, int64_t count, int64_t columns,
                             int32_t activation) {
  using V = Vector<T, N>;
  for (int64_t i = global_thread(); i < count / N; i += global_threads()) {
    int64_t row = i;
    const int64_t column = take(row, columns / N);
    const V a = reinterpret_cast<const V*>(x)[i], b = reinterpret_cast<const V*>(bias)[column];
    V sum;
    for (int j = 0; j < N; ++j) {
      sum.at[j] = from_compute<T>(activate(to_compute(a.at[j]) + to_compute(b.at[j]), activation));
    }
    reinterpret_cast<V*>(y)[i] = sum;
  }
}

template <typename T>
TRIREME_DEVICE void bias_activation(const T* x, const T* bias, T* y, int64_t count, int64_t columns,
                                    int32_t activation) {
  constexpr int kWide = 16 / sizeof(T);
  if (columns % kWide == 0) {
    add_bias<T, kWide>(x, bias, y, count, columns, activation);
  } else {
    add_bias<T, 1>(x, bias, y, count, columns, activation);
  }
}

}  // namespace

// count: of elements, a multiple of columns.
#define TRIREME_BIAS_ACTIVATION(suffix, T)                                                  \
  TRIREME_KERNEL(bias_activation_##suffix, (const T* x, const T* bias, T* y, int64_t count, \
                                            int64_t columns, int32_t activation)) {         \
    bias_activation(x, bias, y, count, columns, activation);                                \
  }
TRIREME_BIAS_ACTIVATION(f32, float)
TRIREME_BIAS_ACTIVATION(f64, double)
TRIREME_BIAS_ACTIVATION(f16, Half)
TRIREME_BIAS_ACTIVATION(bf16, BFloat16)

// The factors of variable = 1 · variable − rate · product, for a product that reads them on the
// card.
TRIREME_KERNEL(sgd_factors_f32, (const float* rate, float* factors)) {
  if (global_thread() == 0) {
    factors[0] = -*rate;
    factors[1] = 1;
  }
}
TRIREME_KERNEL(sgd_factors_f64, (const float* rate, double* factors)) {
  if (global_thread() == 0) {
    factors[0] = -static_cast<double>(*rate);
    factors[1] = 1;
  }
}
