#include <cmath>
#include <string>

#include "core/device/matrix_offsets.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

double activate(const std::string& name, double x) {
  if (name == "relu") return x > 0 ? x : 0;
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  return x;
}

template <typename T>
PreparedKernel matmul(const KernelSpec& spec, bool fused) {
  const Shape a = spec.input_shape(0), b = spec.input_shape(1), y = spec.output_shape();
  const bool ta = spec.attribute<bool>("transpose_a"), tb = spec.attribute<bool>("transpose_b");
  const int64_t m = y.dim(-2), n = y.dim(-1), k = a.dim(ta ? -2 : -1);
  const std::string activation = fused ? spec.attribute<std::string>("activation") : "none";
  const auto a_offsets = matrix_offsets(a, y), b_offsets = matrix_offsets(b, y);
  return {[=](const KernelArgs& args) {
    for (size_t batch = 0; batch < a_offsets.size(); ++batch) {
      const T* A = args.in<T>(0) + a_offsets[batch];
      const T* B = args.in<T>(1) + b_offsets[batch];
      T* Y = args.out<T>() + static_cast<int64_t>(batch) * m * n;
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = fused ? double{args.in<T>(2)[j]} : 0.0;
          for (int64_t p = 0; p < k; ++p) {
            const double left = ta ? A[p * m + i] : A[i * k + p];
            const double right = tb ? B[j * k + p] : B[p * n + j];
            sum += left * right;
          }
          Y[i * n + j] = static_cast<T>(activate(activation, sum));
        }
      }
    }
  }};
}

template <typename T>
PreparedKernel bias_add(const KernelSpec& spec) {
  const int64_t elements = spec.output_shape().elements(), n = spec.output_shape().dim(-1);
  return {[=](const KernelArgs& args) {
    for (int64_t i = 0; i < elements; ++i) {
      args.out<T>()[i] = args.in<T>(0)[i] + args.in<T>(1)[i % n];
    }
  }};
}

}  // namespace

void register_reference_linear(KernelTable& table) {
  add_for<float, double>(table, "MatMul", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return matmul<T>(spec, false); });
  add_for<float, double>(table, "FusedMatMul", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return matmul<T>(spec, true); });
  add_for<float, double>(table, "BiasAdd", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return bias_add<T>(spec); });
}

}  // namespace trireme
