// The formula of an elementwise op as C++: what makes a struct with a function of numbers out of
// the columns `real` and `integer` of a row (core/ops/elementwise_rows.h says what they are).
//
// For the files that compile kernels. The structs belong into an anonymous namespace: files are
// compiled for different processors, and the linker would keep one function for all of them.
#pragma once

#include <cmath>
#include <type_traits>

namespace trireme {

// Which numbers an elementwise op takes.
enum class Numbers {
  kReal,      // floating-point numbers
  kAny,       // integers as well
  kCompared,  // bool as well; gives bool
  kLogical,   // bool only
};

namespace formula_types {

template <typename T>
constexpr auto no_sign() {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return std::make_unsigned_t<T>();
  } else {
    return T();
  }
}

}  // namespace formula_types

namespace {
#define TRIREME_DEVICE inline
#define TRIREME_FUNCTION(name, ...) __VA_ARGS__
#include "core/ops/elementwise_rows.h"
#undef TRIREME_DEVICE
}  // namespace

}  // namespace trireme

// The functions that a formula may call. CUDA C++ has those of <cmath> for float and double, too.
#define TRIREME_FORMULA_NAMES         \
  using std::acos;                    \
  using std::acosh;                   \
  using std::asin;                    \
  using std::asinh;                   \
  using std::atan;                    \
  using std::atan2;                   \
  using std::atanh;                   \
  using std::ceil;                    \
  using std::cos;                     \
  using std::cosh;                    \
  using std::erf;                     \
  using std::erfc;                    \
  using std::exp;                     \
  using std::expm1;                   \
  using std::fabs;                    \
  using std::floor;                   \
  using std::fmax;                    \
  using std::fmin;                    \
  using std::fmod;                    \
  using std::log;                     \
  using std::log10;                   \
  using std::log1p;                   \
  using std::log2;                    \
  using std::pow;                     \
  using std::rint;                    \
  using std::sin;                     \
  using std::sinh;                    \
  using std::sqrt;                    \
  using std::tan;                     \
  using std::tanh;                    \
  using ::trireme::floored_quotient;  \
  using ::trireme::floored_remainder; \
  using ::trireme::gelu_tanh_slope;   \
  using ::trireme::integer_power;     \
  using ::trireme::silu_slope;

// A struct `op`Formula that says what the row says, and whose apply() computes one element.
#define TRIREME_FORMULA_STRUCT(op, inputs, numbers, parameters, real, integer)             \
  struct op##Formula {                                                                     \
    [[maybe_unused]] static constexpr const char* kName = #op;                             \
    [[maybe_unused]] static constexpr int kInputs = inputs;                                \
    static constexpr ::trireme::Numbers kNumbers = ::trireme::Numbers::numbers;            \
    template <typename T>                                                                  \
    using Result = std::conditional_t<kNumbers == ::trireme::Numbers::kCompared, bool, T>; \
    template <typename T>                                                                  \
    static Result<T> apply parameters {                                                    \
      using U [[maybe_unused]] = decltype(::trireme::formula_types::no_sign<T>());         \
      TRIREME_FORMULA_NAMES                                                                \
      if constexpr (std::is_floating_point_v<T>) {                                         \
        return static_cast<Result<T>>(real);                                               \
      } else {                                                                             \
        return static_cast<Result<T>>(integer);                                            \
      }                                                                                    \
    }                                                                                      \
  };
#define TRIREME_UNARY_FORMULA(op, numbers, real, integer) \
  TRIREME_FORMULA_STRUCT(op, 1, numbers, ([[maybe_unused]] T a), real, integer)
#define TRIREME_BINARY_FORMULA(op, numbers, real, integer)                                   \
  TRIREME_FORMULA_STRUCT(op, 2, numbers, ([[maybe_unused]] T a, [[maybe_unused]] T b), real, \
                         integer)
