// One matrix product that accumulates into the variable: alpha is minus the learning rate, beta
// is 1.
#include <oneapi/dnnl/dnnl.h>

#include <Eigen/Core>

#include "core/base/error.h"
#include "core/base/openmp_regions.h"
#include "core/device/cpu/bf16_matmul.h"
#include "core/device/cpu/register.h"
#include "core/device/small_floats.h"

namespace trireme {
namespace {

struct Product {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
};

void accumulate(const Product& p, float lr, const float* a, const float* b, float* w) {
  const OpenMpRegions on_pool;
  // oneDNN's sgemm is row-major, unlike BLAS; a leading dimension is the length of a stored row.
  const dnnl_status_t status =
      dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, -lr, a,
                 p.transpose_a ? p.m : p.k, b, p.transpose_b ? p.k : p.n, 1.0f, w, p.n);
  if (status != dnnl_success) {
    throw failed("oneDNN's sgemm failed with status ", static_cast<int>(status), " for ", p.m, "×",
                 p.n, "×", p.k);
  }
}

void accumulate(const Product& p, float lr, const double* a, const double* b, double* w) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> A(a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
  const Eigen::Map<const Matrix> B(b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
  Eigen::Map<Matrix> W(w, p.m, p.n);
  const double scale = lr;
  if (p.transpose_a && p.transpose_b) {
    W.noalias() -= scale * A.transpose() * B.transpose();
  } else if (p.transpose_a) {
    W.noalias() -= scale * A.transpose() * B;
  } else if (p.transpose_b) {
    W.noalias() -= scale * A * B.transpose();
  } else {
    W.noalias() -= scale * A * B;
  }
}

Product product_of(const KernelSpec& spec) {
  const bool ta = spec.attribute<bool>("transpose_a"), tb = spec.attribute<bool>("transpose_b");
  const Shape &variable = spec.input_shape(0), &a = spec.input_shape(2);
  return {ta, tb, variable[0], variable[1], a[ta ? 0 : 1]};
}

template <typename T>
PreparedKernel fused_matmul_apply_sgd(const KernelSpec& spec) {
  return {[product = product_of(spec)](const KernelArgs& args) {
    if (product.m == 0 || product.n == 0 || product.k == 0) return;
    accumulate(product, *args.in<float>(1), args.in<T>(2), args.in<T>(3), args.mutable_in<T>(0));
  }};
}

// An f32 variable and bf16 factors.
PreparedKernel fused_bf16_matmul_apply_sgd(const KernelSpec& spec) {
  const Product p = product_of(spec);
  const bf16_matmul::Product product{
      .m = p.m, .n = p.n, .k = p.k, .transpose_a = p.transpose_a, .transpose_b = p.transpose_b};
  if (p.m * p.n * p.k == 0 || !product.suits()) {
    return through_f32(spec, fused_matmul_apply_sgd<float>);
  }
  return {[product](const KernelArgs& args) {
            bf16_matmul::run(product, {.a = args.in<BFloat16>(2),
                                       .b = args.in<BFloat16>(3),
                                       .updated_y = args.mutable_in<float>(0),
                                       .rate = *args.in<float>(1),
                                       .scratch = args.scratch});
          },
          product.scratch_bytes()};
}

}  // namespace

void register_cpu_fused_update(KernelTable& table) {
  add_for<float, double>(
      table, "FusedMatMulApplySgd", kCpuKind,
      []<typename T>(const KernelSpec& s) { return fused_matmul_apply_sgd<T>(s); });
  add_kernel(table, "FusedMatMulApplySgd", kCpuKind, DType::kBFloat16, fused_bf16_matmul_apply_sgd);
}

}  // namespace trireme
