#include "core/device/reference/register.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel fused_matmul_apply_sgd(const KernelSpec& spec) {
  const Shape variable = spec.input_shape(0), a = spec.input_shape(2);
  const bool ta = spec.attribute<bool>("transpose_a"), tb = spec.attribute<bool>("transpose_b");
  const int64_t m = variable[0], n = variable[1], k = a[ta ? 0 : 1];
  return {[=](const KernelArgs& args) {
    T* W = args.mutable_in<T>(0);
    const double lr = *args.in<float>(1);
    const T *A = args.in<T>(2), *B = args.in<T>(3);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p) {
          const double left = ta ? A[p * m + i] : A[i * k + p];
          const double right = tb ? B[j * k + p] : B[p * n + j];
          sum += left * right;
        }
        W[i * n + j] = static_cast<T>(W[i * n + j] - lr * sum);
      }
    }
  }};
}

}  // namespace

void register_reference_fused_update(KernelTable& table) {
  add_for<float, double>(
      table, "FusedMatMulApplySgd", kReferenceKind,
      []<typename T>(const KernelSpec& s) { return fused_matmul_apply_sgd<T>(s); });
}

}  // namespace trireme
