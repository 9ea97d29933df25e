#ifdef __F16C__
#include <immintrin.h>
#endif

#include "core/device/cpu/block_forms.h"
#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"
#include "core/device/elementwise_loops.h"
#include "core/device/elementwise_op.h"
#include "core/device/elementwise_types.h"

namespace trireme::cpu {
namespace {

template <typename Function, typename T, typename Out>
PreparedKernel binary(const KernelSpec& spec) {
  return {[loop = Broadcast<2>({spec.input_shape(0), spec.input_shape(1)}, spec.output_shape())](
              const KernelArgs& args) {
    loop.for_each(kGrain, [&](const std::array<int64_t, 2>& at, int64_t to, int64_t n) {
      binary_loop<Function, ComputeType<T>>(args.in<T>(0) + at[0], loop.inner_stride(0),
                                            args.in<T>(1) + at[1], loop.inner_stride(1),
                                            args.out<Out>() + to, n);
    });
  }};
}

template <typename Function, typename T, typename Out>
PreparedKernel unary(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements()](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    Out* y = args.out<Out>();
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
      unary_loop<Function, ComputeType<T>>(x + begin, y + begin, end - begin);
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

// The same of two inputs. Where one is a number for a whole row, its block is filled with it.
template <typename Function, typename T>
PreparedKernel smooth_binary(const KernelSpec& spec) {
  return {[loop = Broadcast<2>({spec.input_shape(0), spec.input_shape(1)}, spec.output_shape())](
              const KernelArgs& args) {
    using C = ComputeType<T>;
    const auto load = [](const T* from, int64_t stride, int64_t count, C* block) {
      if (stride == 0) {
        std::fill(block, block + kBlock, convert<C>(*from));
        return;
      }
      for (int64_t k = 0; k < count; ++k) block[k] = convert<C>(from[k]);
      for (int64_t k = count; k < kBlock; ++k) block[k] = C{1};
    };
    loop.for_each(kGrain / 4, [&](const std::array<int64_t, 2>& at, int64_t to, int64_t n) {
      const T *const a = args.in<T>(0) + at[0], *const b = args.in<T>(1) + at[1];
      T* const y = args.out<T>() + to;
      const int64_t sa = loop.inner_stride(0), sb = loop.inner_stride(1);
      alignas(kAlignment) C left[kBlock], right[kBlock];
      for (int64_t i = 0; i < n; i += kBlock) {
        const int64_t count = std::min<int64_t>(kBlock, n - i);
        load(a + i * sa, sa, count, left);
        load(b + i * sb, sb, count, right);
        Function::apply(BlockOf<C>(left), BlockOf<C>(right));
        for (int64_t k = 0; k < count; ++k) y[i + k] = convert<T>(left[k]);
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

template <typename Formula>
concept HasBlockForm = requires {
  sizeof(BlockForm<Formula>);
};

// By the formula of its row, in ComputeType, or by its faster form.
template <typename Formula>
void add_formula(KernelTable& table) {
  add_for_numbers<Formula::kNumbers>(table, Formula::kName, kCpuKind,
                                     []<typename T>(const KernelSpec& spec) {
                                       using Result = typename Formula::template Result<T>;
                                       if constexpr (HasBlockForm<Formula>) {
                                         if constexpr (Formula::kInputs == 1) {
                                           return smooth<BlockForm<Formula>, T>(spec);
                                         } else {
                                           return smooth_binary<BlockForm<Formula>, T>(spec);
                                         }
                                       } else if constexpr (Formula::kInputs == 2) {
                                         return binary<Formula, T, Result>(spec);
                                       } else {
                                         return unary<Formula, T, Result>(spec);
                                       }
                                     });
}

// An op that came from outside, by the loop that came with it.
PreparedKernel run_unary(const KernelSpec& spec, ElementwiseLoop::Function compute) {
  const size_t in = size_of(spec.inputs[0].dtype), out = size_of(spec.outputs[0].dtype);
  return {[=, n = spec.output_shape().elements()](const KernelArgs& args) {
    parallel_for(n, kGrain / 4, [&](int64_t begin, int64_t end) {
      const auto at = static_cast<size_t>(begin);
      const void* const input = args.in<char>(0) + at * in;
      const int64_t stride = 1;
      compute(&input, &stride, args.out<char>() + at * out, end - begin);
    });
  }};
}

PreparedKernel run_binary(const KernelSpec& spec, ElementwiseLoop::Function compute) {
  const size_t in = size_of(spec.inputs[0].dtype), out = size_of(spec.outputs[0].dtype);
  return {[=, loop = Broadcast<2>({spec.input_shape(0), spec.input_shape(1)}, spec.output_shape())](
              const KernelArgs& args) {
    const int64_t strides[] = {loop.inner_stride(0), loop.inner_stride(1)};
    loop.for_each(kGrain / 4, [&](const std::array<int64_t, 2>& at, int64_t to, int64_t n) {
      const void* const inputs[] = {args.in<char>(0) + static_cast<size_t>(at[0]) * in,
                                    args.in<char>(1) + static_cast<size_t>(at[1]) * in};
      compute(inputs, strides, args.out<char>() + static_cast<size_t>(to) * out, n);
    });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_elementwise(KernelTable& table) {
  using namespace cpu;
#define TRIREME_UNARY(op, ...) add_formula<formulas::op##Formula>(table);
#define TRIREME_BINARY(op, ...) add_formula<formulas::op##Formula>(table);
#include "core/ops/elementwise_rows.h"
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Select", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return select<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Cast", kCpuKind, []<typename T>(const KernelSpec& spec) { return cast<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "FillLike", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return fill_like<T>(spec); });
}

void add_cpu_elementwise(KernelTable& table, const ElementwiseOp& op) {
  for (const ElementwiseLoop& loop : op.loops) {
    const auto compute = loop.in_own_type;
    if (op.definition.max_inputs == 1) {
      add_kernel(table, op.definition.name, kCpuKind, loop.dtype,
                 [compute](const KernelSpec& spec) { return cpu::run_unary(spec, compute); });
    } else {
      add_kernel(table, op.definition.name, kCpuKind, loop.dtype,
                 [compute](const KernelSpec& spec) { return cpu::run_binary(spec, compute); });
    }
  }
}

}  // namespace trireme
