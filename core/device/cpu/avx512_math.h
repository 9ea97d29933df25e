// Functions of 16 numbers at once, for AVX-512: the same formulas as exponential.h with fused
// multiply-adds, and a reciprocal in place of a division. Relative errors of e^x and 1/x are below
// 3e-7. Private to this folder.
//
// REQUIRES everywhere: has_avx512().
#pragma once

#include "core/device/cpu/avx512.h"

#if TRIREME_HAS_AVX512_BUILD

namespace trireme::avx512 {

#define TRIREME_AVX512_INLINE [[gnu::always_inline]] TRIREME_AVX512 inline

// Results below 2^-126 are about that number; NaN stays NaN.
TRIREME_AVX512_INLINE __m512 exponential(__m512 x) {
  // The order matters: of a NaN, min and max return the second operand.
  x = _mm512_max_ps(_mm512_set1_ps(-87.3f), x);
  x = _mm512_min_ps(_mm512_set1_ps(88.3f), x);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.3888889e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3333333e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1666667e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666667e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// 1/x of 1 ≤ x < 2^127: 14 bits and one step of Newton's.
TRIREME_AVX512_INLINE __m512 reciprocal(__m512 x) {
  const __m512 about = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(about, _mm512_fnmadd_ps(x, about, _mm512_set1_ps(2.0f)));
}

TRIREME_AVX512_INLINE __m512 sigmoid(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  return reciprocal(_mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

TRIREME_AVX512_INLINE __m512 hyperbolic_tangent(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 share = reciprocal(_mm512_add_ps(one, exponential(_mm512_add_ps(x, x))));
  return _mm512_fnmadd_ps(_mm512_set1_ps(2.0f), share, one);
}

// The first `count` lanes, 1 ≤ count ≤ 16.
TRIREME_AVX512_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(0xFFFFu >> (16 - count));
}

}  // namespace trireme::avx512

#endif
