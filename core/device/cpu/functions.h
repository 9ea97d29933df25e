// What the elementwise kernels compute: functions of numbers that the compiler vectorises, and of
// blocks that Eigen does. Private to core/device/cpu; included by elementwise.cc only.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdlib>
#include <type_traits>

#include "core/device/wrapping.h"
#include "core/tensor/buffer.h"

namespace trireme::cpu {
namespace {

struct Add {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wrapping(a) + wrapping(b));
  }
};
struct Subtract {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wrapping(a) - wrapping(b));
  }
};
struct Multiply {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wrapping(a) * wrapping(b));
  }
};
struct Divide {
  template <typename T>
  static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      // The one quotient that does not fit; dividing would trap.
      if (std::is_signed_v<T> && b == static_cast<T>(-1)) return static_cast<T>(0 - wrapping(a));
    }
    return static_cast<T>(a / b);
  }
};
// NaN in either gives NaN, as TensorFlow has it.
struct Maximum {
  template <typename T>
  static T apply(T a, T b) {
    return a >= b || a != a ? a : b;
  }
};
struct Minimum {
  template <typename T>
  static T apply(T a, T b) {
    return a <= b || a != a ? a : b;
  }
};
struct Power {
  template <typename T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::pow(a, b);
    } else {
      if (b < 0)
        return a == 1 ? 1 : a == static_cast<T>(-1) ? (b % 2 == 0 ? 1 : static_cast<T>(-1)) : 0;
      uint64_t result = 1, factor = static_cast<uint64_t>(a);  // unsigned: overflow wraps around
      for (uint64_t left = static_cast<uint64_t>(b); left > 0; left >>= 1, factor *= factor) {
        if (left & 1) result *= factor;
      }
      return static_cast<T>(result);
    }
  }
};
struct ReluGrad {
  template <typename T>
  static T apply(T grad, T y) {
    return y > 0 ? grad : T{0};
  }
};

struct Equal {
  template <typename T>
  static bool apply(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <typename T>
  static bool apply(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <typename T>
  static bool apply(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <typename T>
  static bool apply(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <typename T>
  static bool apply(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <typename T>
  static bool apply(T a, T b) {
    return a >= b;
  }
};
struct LogicalAnd {
  static bool apply(bool a, bool b) { return a & b; }
};
struct LogicalOr {
  static bool apply(bool a, bool b) { return a | b; }
};
struct LogicalNot {
  static bool apply(bool x) { return !x; }
};

struct Negate {
  template <typename T>
  static T apply(T x) {
    return static_cast<T>(-wrapping(x));
  }
};
struct Abs {
  template <typename T>
  static T apply(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else
      return x < 0 ? static_cast<T>(0 - wrapping(x)) : x;
  }
};
struct Square {
  template <typename T>
  static T apply(T x) {
    return static_cast<T>(wrapping(x) * wrapping(x));
  }
};
struct Relu {
  template <typename T>
  static T apply(T x) {
    return x < 0 ? T{0} : x;
  }
};
struct Sign {
  template <typename T>
  static T apply(T x) {
    return static_cast<T>(static_cast<T>(x > 0) - static_cast<T>(x < 0));
  }
};
struct Sqrt {
  template <typename T>
  static T apply(T x) {
    return std::sqrt(x);
  }
};
struct Rsqrt {
  template <typename T>
  static T apply(T x) {
    return 1 / std::sqrt(x);
  }
};
struct Reciprocal {
  template <typename T>
  static T apply(T x) {
    return 1 / x;
  }
};

// A block that lies in the first-level cache.
constexpr int64_t kBlock = 128;
template <typename T>
using BlockOf = Eigen::Map<Eigen::Array<T, kBlock, 1>, Eigen::Aligned64>;

struct Exp {
  template <typename Block>
  static void apply(Block x) {
    x = x.exp();
  }
};
struct Log {
  template <typename Block>
  static void apply(Block x) {
    x = x.log();
  }
};
struct Tanh {
  template <typename Block>
  static void apply(Block x) {
    x = x.tanh();
  }
};
struct Sigmoid {
  template <typename Block>
  static void apply(Block x) {
    x = ((-x).exp() + typename Block::Scalar{1}).inverse();
  }
};
struct Softplus {
  template <typename Block>
  static void apply(Block x) {
    x = x.max(typename Block::Scalar{0}) + (-x.abs()).exp().log1p();
  }
};

}  // namespace
}  // namespace trireme::cpu
