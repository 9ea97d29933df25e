// e^x without a branch or a table, so that the compiler vectorises loops over it.
//
// Cody and Waite's reduction x = n·ln2 + r, |r| ≤ ln2 / 2, then a polynomial of degree 6; relative
// error below 2e-7.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace trireme {

// Results below 2^-126 are flushed to about that number; NaN stays NaN.
inline float vector_exp(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  constexpr float kRound = 12582912.0f;  // 1.5·2^23: adding it rounds to a whole number
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  // The low bits of `shifted` are n; as an exponent they are 2^n.
  const uint32_t bits = (std::bit_cast<uint32_t>(shifted) - 0x4B400000u + 127u) << 23;
  return p * std::bit_cast<float>(bits);
}

inline double vector_exp(double x) { return std::exp(x); }

}  // namespace trireme
