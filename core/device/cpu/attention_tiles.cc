#include "core/device/cpu/attention_tiles.h"

#include <algorithm>
#include <limits>

#include "core/device/cpu/avx512.h"

namespace trireme::attention_tiles {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Cody and Waite's reduction and a polynomial of degree 6, as in exponential.h; 0 below the least
// normal number.
constexpr float kLowest = -87.3f, kPerLn2 = 1.44269504f, kLn2High = 0.693359375f,
                kLn2Low = -2.12194440e-4f;
constexpr float kPolynomial[5] = {1.3888889e-3f, 8.3333333e-3f, 4.1666667e-2f, 1.6666667e-1f, 0.5f};

#if TRIREME_HAS_AVX512_BUILD
namespace avx512 {
#define TRIREME_TARGET TRIREME_AVX512
#define TRIREME_VECTOR __attribute__((always_inline)) TRIREME_AVX512 inline
using V = __m512;
constexpr int64_t kLanes = 16;
// 32 registers hold kRows[v]·v sums, v of the right factor and one of the left.
constexpr int kMaxVectors = 4;
constexpr int kRows[] = {0, 12, 12, 8, 6};

TRIREME_VECTOR V load(const float* x) { return _mm512_loadu_ps(x); }
TRIREME_VECTOR void store(float* x, V v) { _mm512_storeu_ps(x, v); }
TRIREME_VECTOR V spread(float x) { return _mm512_set1_ps(x); }
TRIREME_VECTOR V zero() { return _mm512_setzero_ps(); }
TRIREME_VECTOR V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
TRIREME_VECTOR V add(V a, V b) { return _mm512_add_ps(a, b); }
TRIREME_VECTOR V subtract(V a, V b) { return _mm512_sub_ps(a, b); }
TRIREME_VECTOR V multiply(V a, V b) { return _mm512_mul_ps(a, b); }
// A NaN in the second operand is what max returns.
TRIREME_VECTOR V larger(V a, V b) { return _mm512_mask_max_ps(b, __mmask16{0xFFFF}, a, b); }
TRIREME_VECTOR V exponential(V x) {
  const __mmask16 counts = _mm512_cmp_ps_mask(x, spread(kLowest), _CMP_NLT_UQ);
  const V n = _mm512_roundscale_ps(multiply(x, spread(kPerLn2)), _MM_FROUND_TO_NEAREST_INT);
  V r = _mm512_fnmadd_ps(n, spread(kLn2High), x);
  r = _mm512_fnmadd_ps(n, spread(kLn2Low), r);
  V p = spread(kPolynomial[0]);
#pragma GCC unroll 4
  for (int i = 1; i < 5; ++i) p = fma(p, r, spread(kPolynomial[i]));
  p = add(fma(multiply(p, r), r, r), spread(1.0f));
  return _mm512_maskz_scalef_ps(counts, p, n);
}
TRIREME_VECTOR float largest_lane(V x) { return _mm512_reduce_max_ps(x); }
TRIREME_VECTOR float sum_of_lanes(V x) { return _mm512_reduce_add_ps(x); }
template <typename Body>
TRIREME_VECTOR void for_vectors(int64_t vectors, Body body) {
  switch (vectors) {
    case 1:
      return body.template operator()<1>();
    case 2:
      return body.template operator()<2>();
    case 3:
      return body.template operator()<3>();
    default:
      return body.template operator()<4>();
  }
}
#include "core/device/cpu/attention_tiles.inc"
#undef TRIREME_VECTOR
#undef TRIREME_TARGET
}  // namespace avx512

namespace avx2 {
#define TRIREME_TARGET
#define TRIREME_VECTOR inline
using V = __m256;
constexpr int64_t kLanes = 8;
// 16 registers.
constexpr int kMaxVectors = 2;
constexpr int kRows[] = {0, 12, 6};

TRIREME_VECTOR V load(const float* x) { return _mm256_loadu_ps(x); }
TRIREME_VECTOR void store(float* x, V v) { _mm256_storeu_ps(x, v); }
TRIREME_VECTOR V spread(float x) { return _mm256_set1_ps(x); }
TRIREME_VECTOR V zero() { return _mm256_setzero_ps(); }
TRIREME_VECTOR V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
TRIREME_VECTOR V add(V a, V b) { return _mm256_add_ps(a, b); }
TRIREME_VECTOR V subtract(V a, V b) { return _mm256_sub_ps(a, b); }
TRIREME_VECTOR V multiply(V a, V b) { return _mm256_mul_ps(a, b); }
TRIREME_VECTOR V larger(V a, V b) { return _mm256_max_ps(a, b); }
TRIREME_VECTOR V exponential(V x) {
  const V counts = _mm256_cmp_ps(x, spread(kLowest), _CMP_NLT_UQ);
  x = _mm256_min_ps(spread(88.3f), x);  // in this order a NaN stays
  const V n =
      _mm256_round_ps(multiply(x, spread(kPerLn2)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  V r = _mm256_fnmadd_ps(n, spread(kLn2High), x);
  r = _mm256_fnmadd_ps(n, spread(kLn2Low), r);
  V p = spread(kPolynomial[0]);
  for (int i = 1; i < 5; ++i) p = fma(p, r, spread(kPolynomial[i]));
  p = add(fma(multiply(p, r), r, r), spread(1.0f));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_and_ps(counts, multiply(p, _mm256_castsi256_ps(power)));
}
TRIREME_VECTOR float largest_lane(V x) {
  float lanes[kLanes];
  store(lanes, x);
  return *std::max_element(lanes, lanes + kLanes);
}
TRIREME_VECTOR float sum_of_lanes(V x) {
  float lanes[kLanes];
  store(lanes, x);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}
template <typename Body>
TRIREME_VECTOR void for_vectors(int64_t vectors, Body body) {
  if (vectors == 1) return body.template operator()<1>();
  body.template operator()<2>();
}
#include "core/device/cpu/attention_tiles.inc"
#undef TRIREME_VECTOR
#undef TRIREME_TARGET
}  // namespace avx2
#endif

}  // namespace

#if TRIREME_HAS_AVX512_BUILD
const Functions& functions() {
  static const Functions& best = has_avx512() ? avx512::kFunctions : avx2::kFunctions;
  return best;
}

void transpose(const float* from, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r += 8) {
    for (int64_t c = 0; c < columns; c += 8) {
      __m256 x[8], pairs[8], fours[8];
      for (int i = 0; i < 8; ++i) x[i] = _mm256_loadu_ps(from + (r + i) * columns + c);
      for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
      }
      // fours[4h + i]: columns i and i + 4 of rows 4h … 4h + 3
      for (int h = 0; h < 8; h += 4) {
        fours[h] = _mm256_shuffle_ps(pairs[h], pairs[h + 2], 0x44);
        fours[h + 1] = _mm256_shuffle_ps(pairs[h], pairs[h + 2], 0xEE);
        fours[h + 2] = _mm256_shuffle_ps(pairs[h + 1], pairs[h + 3], 0x44);
        fours[h + 3] = _mm256_shuffle_ps(pairs[h + 1], pairs[h + 3], 0xEE);
      }
      for (int i = 0; i < 4; ++i) {
        float* const at = to + (c + i) * to_row + r;
        _mm256_storeu_ps(at, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
        _mm256_storeu_ps(at + 4 * to_row, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
      }
    }
  }
}
#endif

}  // namespace trireme::attention_tiles
