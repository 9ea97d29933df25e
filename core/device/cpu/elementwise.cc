#ifdef __F16C__
#include <immintrin.h>
#endif

#include <cmath>

#include "core/device/cpu/broadcast.h"
#include "core/device/cpu/functions.h"
#include "core/device/element.h"

namespace trireme::cpu {
namespace {

// Outputs may be the memory of an input. Elements then still depend on themselves only, hence
// ivdep: without it the compiler takes the slow loop whenever the addresses are equal.
template <typename Function, typename T, typename Out>
void binary_loop(const T* a, int64_t a_stride, const T* b, int64_t b_stride, Out* y, int64_t n) {
  using C = ComputeType<T>;
  if (a_stride != 0 && b_stride != 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i)
      y[i] = convert<Out>(Function::apply(convert<C>(a[i]), convert<C>(b[i])));
  } else if (a_stride != 0) {
    const C right = convert<C>(b[0]);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = convert<Out>(Function::apply(convert<C>(a[i]), right));
  } else if (b_stride != 0) {
    const C left = convert<C>(a[0]);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = convert<Out>(Function::apply(left, convert<C>(b[i])));
  } else {
    std::fill(y, y + n, convert<Out>(Function::apply(convert<C>(a[0]), convert<C>(b[0]))));
  }
}

template <typename Function, typename T, typename Out>
PreparedKernel binary(const KernelSpec& spec) {
  return {[loop = Broadcast<2>({spec.input_shape(0), spec.input_shape(1)}, spec.output_shape())](
              const KernelArgs& args) {
    loop.for_each(kGrain, [&](const std::array<int64_t, 2>& at, int64_t to, int64_t n) {
      binary_loop<Function>(args.in<T>(0) + at[0], loop.inner_stride(0), args.in<T>(1) + at[1],
                            loop.inner_stride(1), args.out<Out>() + to, n);
    });
  }};
}

template <typename Function, typename T>
PreparedKernel unary(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements()](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i)
        y[i] = convert<T>(Function::apply(convert<ComputeType<T>>(x[i])));
    });
  }};
}

// Through a block of fixed size on the stack, which Eigen vectorises from end to end. So an
// element's value does not depend on whether it stands in a tail, which Eigen would leave to the
// scalar library functions.
template <typename Function, typename T>
PreparedKernel smooth(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements()](const KernelArgs& args) {
    using C = ComputeType<T>;
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    parallel_for(n, kGrain / 4, [=](int64_t begin, int64_t end) {
      alignas(kAlignment) C block[kBlock];
      for (int64_t i = begin; i < end; i += kBlock) {
        const int64_t count = std::min<int64_t>(kBlock, end - i);
        for (int64_t k = 0; k < count; ++k) block[k] = convert<C>(x[i + k]);
        for (int64_t k = count; k < kBlock; ++k) block[k] = C{1};
        Function::apply(BlockOf<C>(block));
        for (int64_t k = 0; k < count; ++k) y[i + k] = convert<T>(block[k]);
      }
    });
  }};
}

template <typename T>
PreparedKernel select(const KernelSpec& spec) {
  return {[loop = Broadcast<3>({spec.input_shape(0), spec.input_shape(1), spec.input_shape(2)},
                               spec.output_shape())](const KernelArgs& args) {
    const int64_t sc = loop.inner_stride(0), sa = loop.inner_stride(1), sb = loop.inner_stride(2);
    loop.for_each(kGrain, [&](const std::array<int64_t, 3>& at, int64_t to, int64_t n) {
      // As bytes: the compiler vectorises a comparison, but not a branch on a bool.
      const uint8_t* c = args.in<uint8_t>(0) + at[0];
      const T* a = args.in<T>(1) + at[1];
      const T* b = args.in<T>(2) + at[2];
      T* y = args.out<T>() + to;
      if (sc == 0) {
        const T* chosen = c[0] != 0 ? a : b;
        const int64_t stride = c[0] != 0 ? sa : sb;
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) y[i] = chosen[i * stride];
      } else if (sa != 0 && sb != 0) {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) {
          const T left = a[i], right = b[i];
          y[i] = c[i] != 0 ? left : right;
        }
      } else if (sa != 0) {
        const T right = b[0];
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) {
          const T left = a[i];
          y[i] = c[i] != 0 ? left : right;
        }
      } else if (sb != 0) {
        const T left = a[0];
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) {
          const T right = b[i];
          y[i] = c[i] != 0 ? left : right;
        }
      } else {
        const T left = a[0], right = b[0];
        for (int64_t i = 0; i < n; ++i) y[i] = c[i] != 0 ? left : right;
      }
    });
  }};
}

template <typename From, typename To>
void cast_loop(const From* x, To* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

#ifdef __F16C__
// Eight at a time: element by element the conversion is a function of some twenty instructions.
void cast_loop(const float* x, Half* y, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  }
  cast_loop<float, Half>(x + i, y + i, n - i);
}

void cast_loop(const Half* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(half));
  }
  cast_loop<Half, float>(x + i, y + i, n - i);
}
#endif

template <typename From, typename To>
PreparedKernel cast_to(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements()](const KernelArgs& args) {
    const From* x = args.in<From>(0);
    To* y = args.out<To>();
    parallel_for(n, kGrain,
                 [=](int64_t begin, int64_t end) { cast_loop(x + begin, y + begin, end - begin); });
  }};
}

template <typename From>
PreparedKernel cast(const KernelSpec& spec) {
  switch (spec.outputs[0].dtype) {
    case DType::kFloat16:
      return cast_to<From, Half>(spec);
    case DType::kBFloat16:
      return cast_to<From, BFloat16>(spec);
    case DType::kFloat32:
      return cast_to<From, float>(spec);
    case DType::kFloat64:
      return cast_to<From, double>(spec);
    case DType::kInt32:
      return cast_to<From, int32_t>(spec);
    case DType::kInt64:
      return cast_to<From, int64_t>(spec);
    case DType::kUInt8:
      return cast_to<From, uint8_t>(spec);
    default:
      return cast_to<From, bool>(spec);
  }
}

template <typename T>
PreparedKernel fill_like(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements(),
           value = convert<T>(spec.attribute<double>("value"))](const KernelArgs& args) {
    T* y = args.out<T>();
    parallel_for(n, kGrain,
                 [=](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
  }};
}

template <typename Function>
void add_numeric_binary(KernelTable& table, const char* op) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, op, kCpuKind,
      []<typename T>(const KernelSpec& spec) { return binary<Function, T, T>(spec); });
}

template <typename Function>
void add_comparison(KernelTable& table, const char* op) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, op, kCpuKind,
      []<typename T>(const KernelSpec& spec) { return binary<Function, T, bool>(spec); });
}

template <typename Function>
void add_numeric_unary(KernelTable& table, const char* op) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, op, kCpuKind,
      []<typename T>(const KernelSpec& spec) { return unary<Function, T>(spec); });
}

template <typename Function>
void add_float_unary(KernelTable& table, const char* op) {
  add_for<Half, BFloat16, float, double>(
      table, op, kCpuKind,
      []<typename T>(const KernelSpec& spec) { return unary<Function, T>(spec); });
}

template <typename Function>
void add_smooth(KernelTable& table, const char* op) {
  add_for<Half, BFloat16, float, double>(
      table, op, kCpuKind,
      []<typename T>(const KernelSpec& spec) { return smooth<Function, T>(spec); });
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_elementwise(KernelTable& table) {
  using namespace cpu;
  add_numeric_binary<Add>(table, "Add");
  add_numeric_binary<Subtract>(table, "Subtract");
  add_numeric_binary<Multiply>(table, "Multiply");
  add_numeric_binary<Divide>(table, "Divide");
  add_numeric_binary<Maximum>(table, "Maximum");
  add_numeric_binary<Minimum>(table, "Minimum");
  add_numeric_binary<Power>(table, "Power");
  add_for<Half, BFloat16, float, double>(
      table, "ReluGrad", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return binary<ReluGrad, T, T>(spec); });
  add_comparison<Equal>(table, "Equal");
  add_comparison<NotEqual>(table, "NotEqual");
  add_comparison<Less>(table, "Less");
  add_comparison<LessEqual>(table, "LessEqual");
  add_comparison<Greater>(table, "Greater");
  add_comparison<GreaterEqual>(table, "GreaterEqual");
  add_kernel(table, "LogicalAnd", kCpuKind, DType::kBool, binary<LogicalAnd, bool, bool>);
  add_kernel(table, "LogicalOr", kCpuKind, DType::kBool, binary<LogicalOr, bool, bool>);
  add_kernel(table, "LogicalNot", kCpuKind, DType::kBool, unary<LogicalNot, bool>);
  add_numeric_unary<Negate>(table, "Negate");
  add_numeric_unary<Abs>(table, "Abs");
  add_numeric_unary<Square>(table, "Square");
  add_numeric_unary<Relu>(table, "Relu");
  add_numeric_unary<Sign>(table, "Sign");
  add_float_unary<Sqrt>(table, "Sqrt");
  add_float_unary<Rsqrt>(table, "Rsqrt");
  add_float_unary<Reciprocal>(table, "Reciprocal");
  add_smooth<Exp>(table, "Exp");
  add_smooth<Log>(table, "Log");
  add_smooth<Tanh>(table, "Tanh");
  add_smooth<Sigmoid>(table, "Sigmoid");
  add_smooth<Softplus>(table, "Softplus");
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Select", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return select<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Cast", kCpuKind, []<typename T>(const KernelSpec& spec) { return cast<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "FillLike", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return fill_like<T>(spec); });
}

}  // namespace trireme
