// Faster forms of some elementwise formulas: functions of blocks of numbers, which Eigen
// vectorises. Private to core/device/cpu; included by elementwise.cc only.
#pragma once

#include <Eigen/Core>

#include "core/device/formulas.h"
#include "core/tensor/buffer.h"

namespace trireme::cpu {
namespace {

// A block that lies in the first-level cache.
constexpr int64_t kBlock = 128;
template <typename T>
using BlockOf = Eigen::Map<Eigen::Array<T, kBlock, 1>, Eigen::Aligned64>;

// The faster form of a formula, in place (that of two inputs: of the first); not defined where
// there is none, and the formula itself is computed. How far it may be from the formula is tested:
// 1 ulp of an f32 for Exp, 4 for Tanh (tests/core/ops/elementwise_formulas_test.cc).
template <typename Formula>
struct BlockForm;

template <>
struct BlockForm<formulas::ExpFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x.exp();
  }
};
template <>
struct BlockForm<formulas::LogFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x.log();
  }
};
template <>
struct BlockForm<formulas::TanhFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x.tanh();
  }
};
template <>
struct BlockForm<formulas::SigmoidFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = ((-x).exp() + typename Block::Scalar{1}).inverse();
  }
};
template <>
struct BlockForm<formulas::SoftplusFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x.max(typename Block::Scalar{0}) + (-x.abs()).exp().log1p();
  }
};
template <>
struct BlockForm<formulas::Expm1Formula> {
  template <typename Block>
  static void apply(Block x) {
    x = x.expm1();
  }
};
template <>
struct BlockForm<formulas::EluFormula> {
  template <typename Block>
  static void apply(Block a, Block b) {
    using T = typename Block::Scalar;
    alignas(kAlignment) T room[kBlock];
    BlockOf<T> below(room);
    below = b * a.expm1();
    for (int64_t k = 0; k < kBlock; ++k) a[k] = a[k] < T{0} ? below[k] : a[k];
  }
};
template <>
struct BlockForm<formulas::SiluFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x / ((-x).exp() + typename Block::Scalar{1});
  }
};
template <>
struct BlockForm<formulas::SiluGradFormula> {
  template <typename Block>
  static void apply(Block a, Block b) {
    using T = typename Block::Scalar;
    alignas(kAlignment) T room[kBlock];
    BlockOf<T> s(room);
    s = ((-b).exp() + T{1}).inverse();
    for (int64_t k = 0; k < kBlock; ++k) a[k] *= silu_slope(b[k], s[k]);
  }
};
// 1 + e^−u of GeluTanh.
template <typename Block>
auto gelu_tanh_divisor(const Block& x) {
  using T = typename Block::Scalar;
  return (x * (T(-1.5957691216057308) - T(0.07135481627159837) * x.square())).exp() + T{1};
}
template <>
struct BlockForm<formulas::GeluTanhFormula> {
  template <typename Block>
  static void apply(Block x) {
    x = x / gelu_tanh_divisor(x);
  }
};
template <>
struct BlockForm<formulas::GeluTanhGradFormula> {
  template <typename Block>
  static void apply(Block a, Block b) {
    using T = typename Block::Scalar;
    alignas(kAlignment) T room[kBlock];
    BlockOf<T> s(room);
    s = gelu_tanh_divisor(b).inverse();
    for (int64_t k = 0; k < kBlock; ++k) a[k] *= gelu_tanh_slope(b[k], s[k]);
  }
};

// Φ(x) in f32, where `density` is e^(−x²/2). With t = 1 / (1 + 0.4·|x|/√2), e^(z²)·erfc(z) of
// z = |x|/√2 is t times a polynomial of degree 8 in t; fitted to a relative error of 1.3e-7.
inline float normal_probability(float x, float density) {
  const float t = 1.0f / (1.0f + 0.28284271f * std::fabs(x));
  float p = 0.050262131657594335f;
  p = p * t - 0.18290148991048874f;
  p = p * t + 0.16908546492060544f;
  p = p * t - 0.005607559707935139f;
  p = p * t + 0.1414314427884872f;
  p = p * t + 0.16854197644038393f;
  p = p * t + 0.2078426985655057f;
  p = p * t + 0.22566959831182054f;
  p = p * t + 0.225675861910682f;
  const float tail = 0.5f * t * p * density;
  return x < 0.0f ? tail : 1.0f - tail;
}
// f64 is computed as the formula says: the polynomial is not exact enough for it.
template <>
struct BlockForm<formulas::GeluFormula> {
  static void apply(BlockOf<float> x) {
    alignas(kAlignment) float room[kBlock];
    BlockOf<float> density(room);
    density = (x.square() * -0.5f).exp();
    for (int64_t k = 0; k < kBlock; ++k) x[k] *= normal_probability(x[k], density[k]);
  }
  static void apply(BlockOf<double> x) {
    for (int64_t k = 0; k < kBlock; ++k) x[k] = formulas::GeluFormula::apply(x[k]);
  }
};
template <>
struct BlockForm<formulas::GeluGradFormula> {
  static void apply(BlockOf<float> a, BlockOf<float> b) {
    alignas(kAlignment) float room[kBlock];
    BlockOf<float> density(room);
    density = (b.square() * -0.5f).exp();
    for (int64_t k = 0; k < kBlock; ++k) {
      // e^−∞ comes out as the smallest f32, which times a large b is not small.
      const float near = std::fabs(b[k]) < 14.0f ? density[k] : 0.0f;
      a[k] *= normal_probability(b[k], near) + b[k] * 0.39894228f * near;
    }
  }
  static void apply(BlockOf<double> a, BlockOf<double> b) {
    for (int64_t k = 0; k < kBlock; ++k) a[k] = formulas::GeluGradFormula::apply(a[k], b[k]);
  }
};

}  // namespace
}  // namespace trireme::cpu
