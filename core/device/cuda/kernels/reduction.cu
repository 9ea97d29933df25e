// Sums, products, maxima and minima of x [outer, n, inner] over n, and where the largest element
// is.
//
// Sums are of f32 (f64 for f64, i64 for integers). A long reduction is cut into parts whose results
// a second launch reduces again: always in the same order, so that equal inputs give equal bits.
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;  // of a block, in every kernel here

template <typename T>
struct Accumulator {
  using Type = int64_t;
};
template <>
struct Accumulator<Half> {
  using Type = float;
};
template <>
struct Accumulator<BFloat16> {
  using Type = float;
};
template <>
struct Accumulator<float> {
  using Type = float;
};
template <>
struct Accumulator<double> {
  using Type = double;
};

// The lowest number of T, in its accumulator.
template <typename T>
struct Lowest {
  static TRIREME_DEVICE typename Accumulator<T>::Type value() {
    return -static_cast<typename Accumulator<T>::Type>(INFINITY);
  }
};
template <>
struct Lowest<int32_t> {
  static TRIREME_DEVICE int64_t value() { return INT32_MIN; }
};
template <>
struct Lowest<int64_t> {
  static TRIREME_DEVICE int64_t value() { return INT64_MIN; }
};
template <>
struct Lowest<uint8_t> {
  static TRIREME_DEVICE int64_t value() { return 0; }
};

// The highest number of T, in its accumulator.
template <typename T>
struct Highest {
  static TRIREME_DEVICE typename Accumulator<T>::Type value() {
    return static_cast<typename Accumulator<T>::Type>(INFINITY);
  }
};
template <>
struct Highest<int32_t> {
  static TRIREME_DEVICE int64_t value() { return INT32_MAX; }
};
template <>
struct Highest<int64_t> {
  static TRIREME_DEVICE int64_t value() { return INT64_MAX; }
};
template <>
struct Highest<uint8_t> {
  static TRIREME_DEVICE int64_t value() { return UINT8_MAX; }
};

template <bool kFirst, typename A, typename B>
struct Either {
  using Type = A;
};
template <typename A, typename B>
struct Either<false, A, B> {
  using Type = B;
};

// Reduces elements of In to Out; one of them is the tensor's type, the other may be its
// accumulator.
template <typename I, typename O>
struct Types {
  using In = I;
  using Out = O;
  using Element = typename Either<(sizeof(I) <= sizeof(O)), I, O>::Type;
  using Wide = typename Accumulator<Element>::Type;
  static constexpr int kVector = sizeof(I) >= 2 ? 16 / sizeof(I) : 8;

  static TRIREME_DEVICE Wide widen(I x) { return static_cast<Wide>(to_compute(x)); }
  // `divisor` 0: none.
  static TRIREME_DEVICE O finish(Wide x, double divisor) {
    if (divisor != 0) x = static_cast<Wide>(static_cast<double>(x) / divisor);
    return from_compute<O>(static_cast<Compute<O>>(x));
  }
};

struct Sum {
  template <typename T>
  static TRIREME_DEVICE typename T::Wide neutral() {
    return 0;
  }
  template <typename A>
  static TRIREME_DEVICE A join(A a, A b) {
    return a + b;
  }
};

// A NaN is never larger.
struct Max {
  template <typename T>
  static TRIREME_DEVICE typename T::Wide neutral() {
    return Lowest<typename T::Element>::value();
  }
  template <typename A>
  static TRIREME_DEVICE A join(A a, A b) {
    return b > a ? b : a;
  }
};

struct Min {
  template <typename T>
  static TRIREME_DEVICE typename T::Wide neutral() {
    return Highest<typename T::Element>::value();
  }
  template <typename A>
  static TRIREME_DEVICE A join(A a, A b) {
    return b < a ? b : a;
  }
};

// Integers wrap around.
struct Prod {
  template <typename T>
  static TRIREME_DEVICE typename T::Wide neutral() {
    return 1;
  }
  static TRIREME_DEVICE float join(float a, float b) { return a * b; }
  static TRIREME_DEVICE double join(double a, double b) { return a * b; }
  static TRIREME_DEVICE int64_t join(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};

// x[begin], x[begin + step·V], … up to `end`, V neighbours at a time.
template <typename Op, typename T, int V>
TRIREME_DEVICE typename T::Wide reduce_run(const typename T::In* x, int64_t begin, int64_t end,
                                           int64_t step) {
  typename T::Wide result = Op::template neutral<T>();
#pragma unroll 4
  for (int64_t i = begin; i < end; i += step) {
    const auto values = *reinterpret_cast<const Vector<typename T::In, V>*>(x + i);
#pragma unroll
    for (int k = 0; k < V; ++k) result = Op::join(result, T::widen(values.at[k]));
  }
  return result;
}

// Rows of n elements, `lanes` threads each: a power of two, at most a warp.
// `vectors`: n is a whole number of vectors.
template <typename Op, typename T>
TRIREME_DEVICE void reduce_short_rows(const typename T::In* x, typename T::Out* y, int64_t rows,
                                      int64_t n, int lanes, int vectors, double divisor) {
  constexpr int V = T::kVector;
  const int lane = static_cast<int>(threadIdx.x % 32), own = lane % lanes,
            rows_at_once = 32 / lanes;
  // The whole warp stays in the loop: shuffles need all of it.
  for (int64_t first = global_thread() / 32 * rows_at_once; first < rows;
       first += global_threads() / 32 * rows_at_once) {
    const int64_t row = first + lane / lanes;
    typename T::Wide result = Op::template neutral<T>();
    if (row < rows) {
      const typename T::In* from = x + row * n;
      result = vectors ? reduce_run<Op, T, V>(from, int64_t{own} * V, n, int64_t{lanes} * V)
                       : reduce_run<Op, T, 1>(from, own, n, lanes);
    }
    for (int step = lanes / 2; step > 0; step /= 2)
      result = Op::join(result, __shfl_xor_sync(0xffffffffu, result, step));
    if (row < rows && own == 0) y[row] = T::finish(result, divisor);
  }
}

// Rows of n elements, a block for each `chunk` of a row: y [rows, parts].
template <typename Op, typename T>
TRIREME_DEVICE void reduce_long_rows(const typename T::In* x, typename T::Out* y, int64_t rows,
                                     int64_t n, int64_t parts, int64_t chunk, int vectors,
                                     double divisor) {
  constexpr int V = T::kVector;
  for (int64_t item = blockIdx.x; item < rows * parts; item += gridDim.x) {
    const typename T::In* from = x + item / parts * n;
    const int64_t begin = item % parts * chunk;
    const int64_t end = begin + chunk < n ? begin + chunk : n;
    const int64_t own = threadIdx.x;
    typename T::Wide result = vectors
                                  ? reduce_run<Op, T, V>(from, begin + own * V, end, kThreads * V)
                                  : reduce_run<Op, T, 1>(from, begin + own, end, kThreads);
    result = block_reduce(result, Op::template neutral<T>(),
                          [](typename T::Wide a, typename T::Wide b) { return Op::join(a, b); });
    if (threadIdx.x == 0) y[item] = T::finish(result, divisor);
  }
}

// Columns: x [outer, n, inner], a block for `lanes`·V columns of a chunk of n: y [outer, parts,
// inner]. Neighbouring threads read neighbouring columns.
template <typename Op, typename T, int V>
TRIREME_DEVICE void reduce_columns(const typename T::In* x, typename T::Out* y, int64_t outer,
                                   int64_t n, int64_t inner, int64_t parts, int64_t chunk,
                                   int lanes, double divisor, typename T::Wide* shared) {
  using Wide = typename T::Wide;
  const int column_group = static_cast<int>(threadIdx.x) % lanes;
  const int row_group = static_cast<int>(threadIdx.x) / lanes, row_groups = kThreads / lanes;
  const int64_t tiles = (inner + int64_t{lanes} * V - 1) / (int64_t{lanes} * V);
  for (int64_t item = blockIdx.x; item < outer * parts * tiles; item += gridDim.x) {
    const int64_t column = (item % tiles * lanes + column_group) * V;
    const int64_t part = item / tiles % parts, o = item / tiles / parts;
    const int64_t begin = part * chunk, end = begin + chunk < n ? begin + chunk : n;
    Wide results[V];
    for (int k = 0; k < V; ++k) results[k] = Op::template neutral<T>();
    if (column < inner) {
      const typename T::In* from = x + o * n * inner + column;
#pragma unroll 4
      for (int64_t row = begin + row_group; row < end; row += row_groups) {
        const auto values = *reinterpret_cast<const Vector<typename T::In, V>*>(from + row * inner);
#pragma unroll
        for (int k = 0; k < V; ++k) results[k] = Op::join(results[k], T::widen(values.at[k]));
      }
    }
    __syncthreads();  // the item before may still be read
    for (int k = 0; k < V; ++k) shared[k * kThreads + threadIdx.x] = results[k];
    for (int half = row_groups / 2; half > 0; half /= 2) {
      __syncthreads();
      if (row_group < half) {
        for (int k = 0; k < V; ++k) {
          Wide& own = shared[k * kThreads + threadIdx.x];
          own = Op::join(own, shared[k * kThreads + threadIdx.x + half * lanes]);
        }
      }
    }
    if (row_group == 0 && column < inner) {
      typename T::Out* to = y + (o * parts + part) * inner + column;
      for (int k = 0; k < V; ++k) to[k] = T::finish(shared[k * kThreads + threadIdx.x], divisor);
    }
  }
}

// The best element so far, the largest or smallest as Op says, and its index; of equal ones the
// first.
template <typename Op, typename Wide>
struct Best {
  Wide value;
  int64_t index;

  TRIREME_DEVICE void take(Wide other, int64_t at) {
    const bool is_better = other != value && Op::join(value, other) == other;
    if (is_better || (other == value && at < index)) {
      value = other;
      index = at;
    }
  }
};
constexpr int64_t kNoIndex = INT64_MAX;

// As the reference finds it: a NaN at index 0 stays, others are passed over.
template <typename Op, typename T>
TRIREME_DEVICE int64_t final_index(const Best<Op, typename Accumulator<T>::Type>& best, T first) {
  const auto value = to_compute(first);
  return value != value || best.index == kNoIndex ? 0 : best.index;
}

template <typename Op, typename T>
TRIREME_DEVICE void argument_rows(const T* x, int64_t* y, int64_t rows, int64_t n) {
  using Wide = typename Accumulator<T>::Type;
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int64_t row = global_thread() / 32; row < rows; row += global_threads() / 32) {
    Best<Op, Wide> best{Op::template neutral<Types<T, T>>(), kNoIndex};
    for (int64_t i = lane; i < n; i += 32)
      best.take(static_cast<Wide>(to_compute(x[row * n + i])), i);
    for (int step = 16; step > 0; step /= 2) {
      const Wide value = __shfl_xor_sync(0xffffffffu, best.value, step);
      const int64_t index = __shfl_xor_sync(0xffffffffu, best.index, step);
      best.take(value, index);
    }
    if (lane == 0) y[row] = final_index(best, x[row * n]);
  }
}

template <typename Op, typename T>
TRIREME_DEVICE void argument_columns(const T* x, int64_t* y, int64_t outer, int64_t n,
                                     int64_t inner) {
  using Wide = typename Accumulator<T>::Type;
  for (int64_t i = global_thread(); i < outer * inner; i += global_threads()) {
    const T* column = x + i / inner * n * inner + i % inner;
    Best<Op, Wide> best{Op::template neutral<Types<T, T>>(), kNoIndex};
    for (int64_t k = 0; k < n; ++k) best.take(static_cast<Wide>(to_compute(column[k * inner])), k);
    y[i] = final_index(best, column[0]);
  }
}

}  // namespace
}  // namespace trireme::cuda

using namespace trireme::cuda;

#define REDUCTIONS(name, Op, in, In, out, Out)                                                  \
  TRIREME_KERNEL(name##_short_rows_##in##_##out, (const In* x, Out* y, int64_t rows, int64_t n, \
                                                  int lanes, int vectors, double divisor)) {    \
    reduce_short_rows<Op, Types<In, Out>>(x, y, rows, n, lanes, vectors, divisor);              \
  }                                                                                             \
  TRIREME_KERNEL(name##_long_rows_##in##_##out,                                                 \
                 (const In* x, Out* y, int64_t rows, int64_t n, int64_t parts, int64_t chunk,   \
                  int vectors, double divisor)) {                                               \
    reduce_long_rows<Op, Types<In, Out>>(x, y, rows, n, parts, chunk, vectors, divisor);        \
  }                                                                                             \
  TRIREME_KERNEL(name##_columns_##in##_##out,                                                   \
                 (const In* x, Out* y, int64_t outer, int64_t n, int64_t inner, int64_t parts,  \
                  int64_t chunk, int lanes, int vectors, double divisor)) {                     \
    using T = Types<In, Out>;                                                                   \
    __shared__ T::Wide shared[kThreads * T::kVector];                                           \
    if (vectors) {                                                                              \
      reduce_columns<Op, T, T::kVector>(x, y, outer, n, inner, parts, chunk, lanes, divisor,    \
                                        shared);                                                \
    } else {                                                                                    \
      reduce_columns<Op, T, 1>(x, y, outer, n, inner, parts, chunk, lanes, divisor, shared);    \
    }                                                                                           \
  }

#define REDUCTIONS_OF(name, Op)                        \
  REDUCTIONS(name, Op, f16, Half, f16, Half)           \
  REDUCTIONS(name, Op, f16, Half, f32, float)          \
  REDUCTIONS(name, Op, f32, float, f16, Half)          \
  REDUCTIONS(name, Op, bf16, BFloat16, bf16, BFloat16) \
  REDUCTIONS(name, Op, bf16, BFloat16, f32, float)     \
  REDUCTIONS(name, Op, f32, float, bf16, BFloat16)     \
  REDUCTIONS(name, Op, f32, float, f32, float)         \
  REDUCTIONS(name, Op, f64, double, f64, double)       \
  REDUCTIONS(name, Op, i32, int32_t, i32, int32_t)     \
  REDUCTIONS(name, Op, i32, int32_t, i64, int64_t)     \
  REDUCTIONS(name, Op, i64, int64_t, i32, int32_t)     \
  REDUCTIONS(name, Op, i64, int64_t, i64, int64_t)     \
  REDUCTIONS(name, Op, u8, uint8_t, u8, uint8_t)       \
  REDUCTIONS(name, Op, u8, uint8_t, i64, int64_t)      \
  REDUCTIONS(name, Op, i64, int64_t, u8, uint8_t)

REDUCTIONS_OF(sum, Sum)
REDUCTIONS_OF(max, Max)
REDUCTIONS_OF(min, Min)
REDUCTIONS_OF(prod, Prod)

#define ARGUMENT(name, Op, dtype, T)                                                       \
  TRIREME_KERNEL(name##_rows_##dtype, (const T* x, int64_t* y, int64_t rows, int64_t n)) { \
    argument_rows<Op>(x, y, rows, n);                                                      \
  }                                                                                        \
  TRIREME_KERNEL(name##_columns_##dtype,                                                   \
                 (const T* x, int64_t* y, int64_t outer, int64_t n, int64_t inner)) {      \
    argument_columns<Op>(x, y, outer, n, inner);                                           \
  }

#define ARGUMENTS(dtype, T)       \
  ARGUMENT(argmax, Max, dtype, T) \
  ARGUMENT(argmin, Min, dtype, T)

ARGUMENTS(f16, Half)
ARGUMENTS(bf16, BFloat16)
ARGUMENTS(f32, float)
ARGUMENTS(f64, double)
ARGUMENTS(i32, int32_t)
ARGUMENTS(i64, int64_t)
ARGUMENTS(u8, uint8_t)
