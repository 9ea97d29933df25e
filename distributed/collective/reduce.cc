#include "distributed/collective/reduce.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <vector>

#include "core/base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TRIREME_AVX2 __attribute__((target("avx2,f16c")))
#endif
#define TRIREME_INLINE __attribute__((always_inline)) inline
// `out` may be an operand, element by element: no dependence between iterations.
#if defined(__clang__)
#define TRIREME_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TRIREME_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace trireme {
namespace {

template <typename T>
constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

struct Sum {
  template <typename T>
  TRIREME_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
    } else {
      return a + b;
    }
  }
};
struct Min {
  template <typename T>
  TRIREME_INLINE T operator()(T a, T b) const {
    return (a < b) | (a != a) ? a : b;
  }
};
struct Max {
  template <typename T>
  TRIREME_INLINE T operator()(T a, T b) const {
    return (a > b) | (a != a) ? a : b;
  }
};

template <typename T, typename Op>
TRIREME_INLINE T apply(T a, T b, Op op) {
  if constexpr (kNarrow<T>) {
    return T(op(static_cast<float>(a), static_cast<float>(b)));
  } else {
    return op(a, b);
  }
}

template <typename T, typename Op>
TRIREME_INLINE void loop(T* out, const T* a, const T* b, int64_t count, Op op) {
  TRIREME_INDEPENDENT
  for (int64_t i = 0; i < count; ++i) out[i] = apply(a[i], b[i], op);
}

template <typename T, typename Op>
void combine_baseline(T* out, const T* a, const T* b, int64_t count, Op op) {
  loop(out, a, b, count, op);
}

#if defined(__x86_64__)
// Eight halves as floats, and back. Arithmetic on vectors of GCC's own keeps one definition of op.
template <typename Op>
TRIREME_AVX2 void combine_half_avx2(Half* out, const Half* a, const Half* b, int64_t count, Op op) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    alignas(32) std::array<float, 8> x, y;
    _mm256_store_ps(x.data(),
                    _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i))));
    _mm256_store_ps(y.data(),
                    _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i))));
    for (size_t lane = 0; lane < 8; ++lane) x[lane] = op(x[lane], y[lane]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_load_ps(x.data()), _MM_FROUND_TO_NEAREST_INT));
  }
  loop(out + i, a + i, b + i, count - i, op);
}

template <typename T, typename Op>
TRIREME_AVX2 void combine_avx2(T* out, const T* a, const T* b, int64_t count, Op op) {
  if constexpr (std::is_same_v<T, Half>) {
    combine_half_avx2(out, a, b, count, op);
  } else {
    loop(out, a, b, count, op);
  }
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  return has;
}
#endif

template <typename T, typename Op>
void combine_as(void* out, const void* a, const void* b, int64_t count, Op op) {
  auto* to = static_cast<T*>(out);
  const auto* left = static_cast<const T*>(a);
  const auto* right = static_cast<const T*>(b);
#if defined(__x86_64__)
  if (has_avx2()) return combine_avx2(to, left, right, count, op);
#endif
  combine_baseline(to, left, right, count, op);
}

// Calls `body` with a null pointer of the element type.
template <typename Body>
void with_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat32:
      return body(static_cast<float*>(nullptr));
    case DType::kFloat64:
      return body(static_cast<double*>(nullptr));
    case DType::kFloat16:
      return body(static_cast<Half*>(nullptr));
    case DType::kBFloat16:
      return body(static_cast<BFloat16*>(nullptr));
    case DType::kInt32:
      return body(static_cast<int32_t*>(nullptr));
    case DType::kInt64:
      return body(static_cast<int64_t*>(nullptr));
    default:
      throw invalid_argument(
          "expected f32, f64, f16, bf16, i32 or i64 to reduce over ranks, found ", name(dtype),
          "; cast it first");
  }
}

// `scratch`: a block for each level of the tree below this one.
void combine_range(DType dtype, ReduceOp op, std::byte* out, std::span<const void* const> leaves,
                   size_t offset, int64_t count, std::byte* scratch, size_t block_bytes) {
  const auto leaf = [&](size_t i) { return static_cast<const std::byte*>(leaves[i]) + offset; };
  if (leaves.size() == 2) return combine(dtype, op, out, leaf(0), leaf(1), count);
  size_t half = 1;
  while (half * 2 < leaves.size()) half *= 2;
  // The left value needs a place of its own while the right one is formed: `out` may be a leaf.
  std::byte* left = scratch;
  std::byte* deeper = scratch + block_bytes;
  combine_range(dtype, op, left, leaves.first(half), offset, count, deeper, block_bytes);
  const auto right_leaves = leaves.subspan(half);
  const std::byte* right = static_cast<const std::byte*>(right_leaves[0]) + offset;
  if (right_leaves.size() > 1) {
    std::byte* place = deeper;
    combine_range(dtype, op, place, right_leaves, offset, count, deeper + block_bytes, block_bytes);
    right = place;
  }
  combine(dtype, op, out, left, right, count);
}

}  // namespace

bool is_reducible(DType dtype) {
  return is_floating(dtype) || dtype == DType::kInt32 || dtype == DType::kInt64;
}

void combine(DType dtype, ReduceOp op, void* out, const void* a, const void* b, int64_t count) {
  with_type(dtype, [&]<typename T>(T*) {
    switch (op) {
      case ReduceOp::kSum:
      case ReduceOp::kMean:
        return combine_as<T>(out, a, b, count, Sum());
      case ReduceOp::kMin:
        return combine_as<T>(out, a, b, count, Min());
      case ReduceOp::kMax:
        return combine_as<T>(out, a, b, count, Max());
    }
  });
}

void divide_by(DType dtype, void* data, int64_t count, int ranks) {
  with_type(dtype, [&]<typename T>(T*) {
    T* values = static_cast<T*>(data);
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (kNarrow<T>) {
        values[i] = T(static_cast<float>(values[i]) / static_cast<float>(ranks));
      } else {
        values[i] /= static_cast<T>(ranks);
      }
    }
  });
}

void combine_tree(DType dtype, ReduceOp op, void* out, std::span<const void* const> leaves,
                  int64_t count) {
  TRIREME_CHECK(!leaves.empty());
  auto* to = static_cast<std::byte*>(out);
  if (leaves.size() == 1) {
    if (out != leaves[0]) std::memcpy(out, leaves[0], static_cast<size_t>(count) * size_of(dtype));
    return;
  }
  if (leaves.size() == 2) return combine(dtype, op, out, leaves[0], leaves[1], count);
  // Blocks whose partial values stay in the first-level cache.
  constexpr size_t kBlockBytes = 4096;
  size_t levels = 2;
  for (size_t width = 1; width < leaves.size(); width *= 2) levels += 2;
  std::vector<std::byte> scratch(levels * kBlockBytes);
  const auto block = static_cast<int64_t>(kBlockBytes / size_of(dtype));
  for (int64_t begin = 0; begin < count; begin += block) {
    const size_t offset = static_cast<size_t>(begin) * size_of(dtype);
    combine_range(dtype, op, to + offset, leaves, offset, std::min(block, count - begin),
                  scratch.data(), kBlockBytes);
  }
}

Blocks even_blocks(int64_t count, int ranks) {
  constexpr int64_t kMultiple = 16;
  const int64_t block = (count + ranks - 1) / ranks;
  return {count, (block + kMultiple - 1) / kMultiple * kMultiple};
}

}  // namespace trireme
