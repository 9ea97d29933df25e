// Softmax and losses: rows are few and short, so one thread does them unless there is much to do.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/cpu/exponential.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

int64_t row_grain(int64_t classes) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(classes, 1));
}

// Several chains instead of one, so that the additions need not wait for each other.
template <typename T, typename Combine>
T reduce(const T* x, int64_t count, T start, Combine combine) {
  constexpr int kChains = 8;
  T chains[kChains];
  std::fill_n(chains, kChains, start);
  int64_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (int k = 0; k < kChains; ++k) chains[k] = combine(chains[k], x[i + k]);
  }
  for (; i < count; ++i) chains[0] = combine(chains[0], x[i]);
  for (int k = 1; k < kChains; ++k) chains[0] = combine(chains[0], chains[k]);
  return chains[0];
}

template <typename T>
T largest(const T* x, int64_t count) {
  return reduce(x, count, x[0], [](T a, T b) { return a > b ? a : b; });
}

template <typename T>
T total(const T* x, int64_t count) {
  return reduce(x, count, T{0}, [](T a, T b) { return a + b; });
}

// y = e^(x − max); returns their sum and leaves max in `shift`. `x` may be `y`.
template <typename T>
T shifted_exp(const T* x, int64_t classes, T* y, T& shift) {
  const T m = largest(x, classes);
  for (int64_t c = 0; c < classes; ++c) y[c] = vector_exp(x[c] - m);
  shift = m;
  return total(y, classes);
}

template <typename T>
PreparedKernel softmax(const KernelSpec& spec) {
  const int64_t classes = spec.input_shape(0).dim(-1);
  const int64_t rows = classes == 0 ? 0 : spec.input_shape(0).elements() / classes;
  return {[=](const KernelArgs& args) {
    parallel_for(rows, row_grain(classes), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        T* y = args.out<T>() + row * classes;
        T shift;
        const T share = 1 / shifted_exp(args.in<T>(0) + row * classes, classes, y, shift);
        for (int64_t c = 0; c < classes; ++c) y[c] *= share;
      }
    });
  }};
}

template <typename T>
PreparedKernel log_softmax(const KernelSpec& spec) {
  const int64_t classes = spec.input_shape(0).dim(-1);
  const int64_t rows = classes == 0 ? 0 : spec.input_shape(0).elements() / classes;
  return {[=](const KernelArgs& args) {
    parallel_for(rows, row_grain(classes), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* x = args.in<T>(0) + row * classes;
        T* y = args.out<T>() + row * classes;
        const T m = largest(x, classes);
        // y may be x, so the sum must not be built in it: x is still needed.
        constexpr int64_t kBlock = 64;
        T block[kBlock], sum = 0;
        for (int64_t start = 0; start < classes; start += kBlock) {
          const int64_t count = std::min(kBlock, classes - start);
          for (int64_t c = 0; c < count; ++c) block[c] = vector_exp(x[start + c] - m);
          sum += total(block, count);
        }
        const T shift = m + std::log(sum);
        for (int64_t c = 0; c < classes; ++c) y[c] = x[c] - shift;
      }
    });
  }};
}

template <typename T, typename Label>
PreparedKernel sparse_softmax_cross_entropy(const KernelSpec& spec) {
  const int64_t rows = spec.input_shape(0)[0], classes = spec.input_shape(0)[1];
  const std::string name(spec.node_name);
  return {[=](const KernelArgs& args) {
    parallel_for(rows, row_grain(classes), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t label = args.in<Label>(1)[row];
        if (label < 0 || label >= classes) {
          throw invalid_argument("SparseSoftmaxCrossEntropy '", name, "': label ", label,
                                 " of row ", row, " is not in [0, ", classes, ")");
        }
        const T* x = args.in<T>(0) + row * classes;
        T* derivative = args.out<T>(1) + row * classes;
        T shift;
        const T sum = shifted_exp(x, classes, derivative, shift);
        args.out<T>(0)[row] = shift + std::log(sum) - x[label];
        const T share = 1 / sum;
        for (int64_t c = 0; c < classes; ++c) derivative[c] *= share;
        derivative[label] -= 1;
      }
    });
  }};
}

template <typename T>
PreparedKernel sigmoid_cross_entropy(const KernelSpec& spec) {
  const int64_t elements = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    parallel_for(elements, 4096, [&](int64_t begin, int64_t end) {
      const T *x = args.in<T>(0), *z = args.in<T>(1);
      T* y = args.out<T>();
      for (int64_t i = begin; i < end; ++i) {
        y[i] = std::max(x[i], T{0}) - x[i] * z[i] + std::log1p(std::exp(-std::abs(x[i])));
      }
    });
  }};
}

}  // namespace

void register_cpu_loss(KernelTable& table) {
  add_for<float, double>(table, "Softmax", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return softmax<T>(spec); });
  add_for<float, double>(table, "LogSoftmax", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return log_softmax<T>(spec); });
  add_for<float, double>(
      table, "SparseSoftmaxCrossEntropy", kCpuKind, []<typename T>(const KernelSpec& s) {
        return s.inputs[1].dtype == DType::kInt32 ? sparse_softmax_cross_entropy<T, int32_t>(s)
                                                  : sparse_softmax_cross_entropy<T, int64_t>(s);
      });
  add_for<float, double>(
      table, "SigmoidCrossEntropy", kCpuKind,
      []<typename T>(const KernelSpec& s) { return sigmoid_cross_entropy<T>(s); });
}

}  // namespace trireme
