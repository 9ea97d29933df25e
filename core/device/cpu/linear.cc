#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/cpu/bf16_matmul.h"
#include "core/device/cpu/onednn.h"
#include "core/device/cpu/register.h"
#include "core/device/matrix_offsets.h"
#include "core/device/small_floats.h"

namespace trireme {
namespace {

// One matrix product, or several over leading axes: y[i] = a[i]·b[i] (+ bias, activation).
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  bool has_bias = false;
  std::string activation = "none";
  // Element offsets of the matrices of a and b, one for each matrix of y.
  std::vector<int64_t> a_offsets, b_offsets;
};

Product product_of(const KernelSpec& spec, bool fused) {
  const Shape a = spec.input_shape(0), b = spec.input_shape(1), y = spec.output_shape();
  Product p;
  p.transpose_a = spec.attribute<bool>("transpose_a");
  p.transpose_b = spec.attribute<bool>("transpose_b");
  p.m = y.dim(-2);
  p.n = y.dim(-1);
  p.k = a.dim(p.transpose_a ? -2 : -1);
  p.has_bias = fused;
  if (fused) p.activation = spec.attribute<std::string>("activation");
  if (b.rank() == 2 && !p.transpose_a) {
    // The rows of all matrices make one tall one.
    p.m = y.first(y.rank() - 1).elements();
    p.a_offsets = p.b_offsets = {0};
  } else {
    p.a_offsets = matrix_offsets(a, y);
    p.b_offsets = matrix_offsets(b, y);
  }
  return p;
}

template <typename T>
T activated(char kind, T x) {
  if (kind == 'r') return std::max(x, T{0});
  if (kind == 's') return 1 / (1 + std::exp(-x));
  if (kind == 't') return std::tanh(x);
  return x;
}

// Plain loops, vectorised along the rows of b where it is not transposed.
template <typename T>
void multiply(const Product& p, const T* a, const T* b, const T* bias, T* y) {
  const char activation = p.activation[0];
  const int64_t a_row = p.transpose_a ? 1 : p.k, a_column = p.transpose_a ? p.m : 1;
  parallel_for(p.m, std::max<int64_t>(1, 32768 / std::max<int64_t>(p.n * p.k, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   T* row = y + i * p.n;
                   for (int64_t j = 0; j < p.n; ++j) row[j] = bias == nullptr ? T{0} : bias[j];
                   for (int64_t q = 0; q < p.k; ++q) {
                     const T left = a[i * a_row + q * a_column];
                     if (p.transpose_b) {
                       for (int64_t j = 0; j < p.n; ++j) row[j] += left * b[j * p.k + q];
                     } else {
                       const T* right = b + q * p.n;
                       for (int64_t j = 0; j < p.n; ++j) row[j] += left * right[j];
                     }
                   }
                   if (activation == 'n') continue;
                   for (int64_t j = 0; j < p.n; ++j) row[j] = activated(activation, row[j]);
                 }
               });
}

template <typename T>
PreparedKernel plain_matmul(Product p) {
  return {[p = std::move(p)](const KernelArgs& args) {
    for (size_t i = 0; i < p.a_offsets.size(); ++i) {
      multiply<T>(p, args.in<T>(0) + p.a_offsets[i], args.in<T>(1) + p.b_offsets[i],
                  p.has_bias ? args.in<T>(2) : nullptr,
                  args.out<T>() + static_cast<int64_t>(i) * p.m * p.n);
    }
  }};
}

// The product of `batch` dense pairs of matrices.
PreparedKernel onednn_matmul(const Product& p, int64_t batch) {
  using onednn::OneDnnProgram;
  const auto matrix = [&](int64_t rows, int64_t columns, bool transposed) {
    return onednn::strided({batch, rows, columns},
                           {rows * columns, transposed ? 1 : columns, transposed ? rows : 1});
  };
  auto a = matrix(p.m, p.k, p.transpose_a), b = matrix(p.k, p.n, p.transpose_b);
  auto y = matrix(p.m, p.n, false), bias = onednn::plain({1, 1, p.n});
  if (batch == 1) {
    a = a.reshape({p.m, p.k});
    b = b.reshape({p.k, p.n});
    y = y.reshape({p.m, p.n});
    bias = bias.reshape({1, p.n});
  }
  const auto attributes = onednn::attributes_with_activation(p.activation);
  const auto& engine = onednn::cpu_engine();
  const dnnl::matmul::primitive_desc description(
      p.has_bias ? dnnl::matmul::desc(a, b, bias, y) : dnnl::matmul::desc(a, b, y), attributes,
      engine);
  OneDnnProgram program;
  std::vector<OneDnnProgram::Argument> arguments = {
      {DNNL_ARG_SRC, a, OneDnnProgram::input(0)},
      {DNNL_ARG_WEIGHTS, b, OneDnnProgram::input(1)},
      {DNNL_ARG_DST, y, OneDnnProgram::output(0)},
  };
  if (p.has_bias) arguments.push_back({DNNL_ARG_BIAS, bias, OneDnnProgram::input(2)});
  program.add(dnnl::matmul(description), description.scratchpad_desc(), std::move(arguments));
  return std::move(program).finish();
}

// Whether the matrices of y use those of `operand` one after another, each once.
bool is_dense(const std::vector<int64_t>& offsets, int64_t matrix) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] != static_cast<int64_t>(i) * matrix) return false;
  }
  return true;
}

// The blocked product of oneDNN reads a large right matrix in long strides, at less than half the
// speed of its older routine, which copies it block by block first (128×2048 by 2048×2048: 26 ms
// and 13 ms on one core).
bool is_large_right(const Product& p) {
  return !p.transpose_a && !p.transpose_b && p.k * p.n >= (int64_t{1} << 20) && p.m >= 16;
}

// The gradient of a kernel that thousands of rows went through: the older routine is faster by 2 to
// 10% (128×4096 by 4096×512, the left factor transposed: 5.2 ms and 4.7 ms on one core).
bool is_long_sum(const Product& p) {
  return p.transpose_a && !p.transpose_b && p.k >= 2048 && p.m >= 64 && p.n >= 64;
}

PreparedKernel sgemm(Product p) {
  return {[p = std::move(p)](const KernelArgs& args) {
    float* const y = args.out<float>();
    const dnnl_status_t status = [&] {
      const OpenMpRegions on_pool;
      return dnnl_sgemm(p.transpose_a ? 'T' : 'N', 'N', p.m, p.n, p.k, 1.0f, args.in<float>(0),
                        p.transpose_a ? p.m : p.k, args.in<float>(1), p.n, 0.0f, y, p.n);
    }();
    TRIREME_CHECK(status == dnnl_success, "dnnl_sgemm failed with status ", int{status});
    if (!p.has_bias) return;
    const float* const bias = args.in<float>(2);
    const char activation = p.activation[0];
    parallel_for(p.m, std::max<int64_t>(1, 16384 / p.n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float* const row = y + i * p.n;
        for (int64_t j = 0; j < p.n; ++j) row[j] += bias[j];
        if (activation == 'r') {
          for (int64_t j = 0; j < p.n; ++j) row[j] = std::max(row[j], 0.0f);
        } else if (activation != 'n') {
          for (int64_t j = 0; j < p.n; ++j) row[j] = activated(activation, row[j]);
        }
      }
    });
  }};
}

PreparedKernel matmul_f32(const KernelSpec& spec, bool fused) {
  Product p = product_of(spec, fused);
  if (p.m * p.n * p.k == 0 || p.a_offsets.empty()) return plain_matmul<float>(std::move(p));
  if (p.a_offsets.size() == 1 && (is_large_right(p) || is_long_sum(p))) return sgemm(std::move(p));
  return onednn::prepare_with_onednn(spec, [&]() -> PreparedKernel {
    if (is_dense(p.a_offsets, p.m * p.k) && is_dense(p.b_offsets, p.k * p.n)) {
      return onednn_matmul(p, static_cast<int64_t>(p.a_offsets.size()));
    }
    PreparedKernel one = onednn_matmul(p, 1);
    auto run = [p, one = one.run](const KernelArgs& args) {
      for (size_t i = 0; i < p.a_offsets.size(); ++i) {
        void* inputs[] = {args.mutable_in<float>(0) + p.a_offsets[i],
                          args.mutable_in<float>(1) + p.b_offsets[i],
                          p.has_bias ? args.inputs[2] : nullptr};
        void* outputs[] = {args.out<float>() + static_cast<int64_t>(i) * p.m * p.n};
        one({inputs, outputs, args.scratch});
      }
    };
    return {run, one.scratch_bytes};
  });
}

// Where the processor multiplies bf16 by itself; else the kernels for f32 do it.
PreparedKernel matmul_bf16(const KernelSpec& spec, bool fused) {
  const Product p = product_of(spec, fused);
  const bf16_matmul::Product one{.m = p.m,
                                 .n = p.n,
                                 .k = p.k,
                                 .transpose_a = p.transpose_a,
                                 .transpose_b = p.transpose_b,
                                 .relu = p.activation == "relu"};
  const bool is_empty = p.m * p.n * p.k == 0 || p.a_offsets.empty();
  if (is_empty || !one.suits() || (p.activation != "none" && p.activation != "relu")) {
    return through_f32(spec, [fused](const KernelSpec& wide) { return matmul_f32(wide, fused); });
  }
  const bool is_wide = spec.outputs[0].dtype == DType::kFloat32;
  return {[p, one, is_wide](const KernelArgs& args) {
            for (size_t i = 0; i < p.a_offsets.size(); ++i) {
              const int64_t to = static_cast<int64_t>(i) * p.m * p.n;
              bf16_matmul::run(one, {.a = args.in<BFloat16>(0) + p.a_offsets[i],
                                     .b = args.in<BFloat16>(1) + p.b_offsets[i],
                                     .bias = p.has_bias ? args.in<BFloat16>(2) : nullptr,
                                     .y = is_wide ? nullptr : args.out<BFloat16>() + to,
                                     .wide_y = is_wide ? args.out<float>() + to : nullptr,
                                     .scratch = args.scratch});
            }
          },
          one.scratch_bytes()};
}

template <typename T>
PreparedKernel bias_add(const KernelSpec& spec) {
  const int64_t n = spec.output_shape().dim(-1);
  const int64_t rows = n == 0 ? 0 : spec.output_shape().elements() / n;
  return {[=](const KernelArgs& args) {
    parallel_for(rows, std::max<int64_t>(1, 16384 / n), [&](int64_t begin, int64_t end) {
      const T* bias = args.in<T>(1);
      for (int64_t r = begin; r < end; ++r) {
        const T* x = args.in<T>(0) + r * n;
        T* y = args.out<T>() + r * n;
        for (int64_t j = 0; j < n; ++j) y[j] = x[j] + bias[j];
      }
    });
  }};
}

}  // namespace

void register_cpu_linear(KernelTable& table) {
  add_kernel(table, "MatMul", kCpuKind, DType::kFloat32,
             [](const KernelSpec& spec) { return matmul_f32(spec, false); });
  add_kernel(table, "FusedMatMul", kCpuKind, DType::kFloat32,
             [](const KernelSpec& spec) { return matmul_f32(spec, true); });
  for (const char* op : {"MatMul", "WideMatMul"}) {
    add_kernel(table, op, kCpuKind, DType::kBFloat16,
               [](const KernelSpec& spec) { return matmul_bf16(spec, false); });
  }
  add_kernel(table, "FusedMatMul", kCpuKind, DType::kBFloat16,
             [](const KernelSpec& spec) { return matmul_bf16(spec, true); });
  add_kernel(table, "MatMul", kCpuKind, DType::kFloat64,
             [](const KernelSpec& spec) { return plain_matmul<double>(product_of(spec, false)); });
  add_kernel(table, "FusedMatMul", kCpuKind, DType::kFloat64,
             [](const KernelSpec& spec) { return plain_matmul<double>(product_of(spec, true)); });
  add_for<float, double>(table, "BiasAdd", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return bias_add<T>(spec); });
}

}  // namespace trireme
