// The elementwise ops: one row each, and the row is all there is of an op.
//
// From it follow the op's definition and its builder ops::FUNCTION (core/ops/elementwise.cc), its
// kernels on the reference and on the CPU, and the text of generated GPU code. To add an op, add a
// row here and a case to tests/core/ops/cases_elementwise.cc. A program outside the tree writes the
// same columns with the macros of core/device/elementwise_op.h.
//
//   TRIREME_UNARY(Op, function, numbers, precision, real, integer, gradient)
//   TRIREME_BINARY(Op, function, numbers, precision, order, real, integer, gradient)
//
// numbers   What the op takes: kReal (floating-point numbers), kAny (integers too), kCompared (bool
//           too, and the result is a bool) or kLogical (bool only). See Numbers.
// precision What mixed precision makes of the inputs: a PrecisionClass, kWide where in doubt.
// order     kCommutative where swapping the inputs changes nothing, else kOrdered.
// real      The formula: an expression of `a` (and `b`) that is C++ and CUDA C++ alike. T is the
//           type of a, b and the result. It may call the functions that TRIREME_FORMULA_NAMES
//           lists.
// integer   The formula for integers and bool. U is T without a sign: its overflow is defined. A u8
//           may be computed as an i32 and cut off afterwards. kReal: not used, `T()`.
// gradient  Statements that call set(), with the gradient of each input, of the nodes x (or a, b),
//           y (the output) and grad; g is the GradientContext. set() sums over what was broadcast.
//           Absent: the op has no gradient.
//
// Who includes this file defines those of the macros that it needs; all are undefined at its end.
#ifndef TRIREME_FUNCTION
#define TRIREME_FUNCTION(name, ...)
#endif
#ifndef TRIREME_UNARY
#define TRIREME_UNARY(op, function, ...)
#endif
#ifndef TRIREME_BINARY
#define TRIREME_BINARY(op, function, ...)
#endif
// clang-format off

// --- what formulas call besides the functions of <cmath>

// Overflow wraps around. A negative exponent gives what the division 1 / base^-exponent gives.
TRIREME_FUNCTION(integer_power,
  template <typename T, typename U>
  TRIREME_DEVICE T integer_power(T base, T exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
    U result = 1, factor = U(base);
    for (U left = U(exponent); left > 0; left >>= 1, factor *= factor) {
      if (left & 1) result *= factor;
    }
    return T(result);
  })

// What is left of a division that is rounded down, and that quotient, of the remainder of the one
// that is rounded towards zero.
TRIREME_FUNCTION(floored_remainder,
  template <typename T>
  TRIREME_DEVICE T floored_remainder(T remainder, T b) {
    return remainder != 0 && (remainder < 0) != (b < 0) ? T(remainder + b) : remainder;
  })
TRIREME_FUNCTION(floored_quotient,
  template <typename T>
  TRIREME_DEVICE T floored_quotient(T quotient, T remainder, T b) {
    return remainder != 0 && (remainder < 0) != (b < 0) ? T(quotient - 1) : quotient;
  })

// --- arithmetic

TRIREME_BINARY(Add, add, kAny, kArithmetic, kCommutative, a + b, T(U(a) + U(b)),
               set(grad, grad))

// The gradient is negated after summing: the smaller of the two.
TRIREME_BINARY(Subtract, subtract, kAny, kArithmetic, kOrdered, a - b, T(U(a) - U(b)),
               g.set_grad(0, unbroadcast(grad, a));
               g.set_grad(1, negate(unbroadcast(grad, b))))

TRIREME_BINARY(Multiply, multiply, kAny, kArithmetic, kCommutative, a * b, T(U(a) * U(b)),
               set(grad * b, grad * a))

// Integers divide as in C++, towards zero; an integer divided by 0 is 0. The quotient by -1 is the
// one that may not fit, and would trap.
TRIREME_BINARY(Divide, divide, kAny, kWide, kOrdered,
               a / b, b == 0 ? T(0) : b == -1 ? T(U(0) - U(a)) : T(a / b),
               const Value quotient = grad / b;
               set(quotient, negate(quotient * y)))

// NaN in either gives NaN, as TensorFlow has it. Where both are equal, the whole gradient belongs
// to the first.
TRIREME_BINARY(Maximum, maximum, kAny, kArithmetic, kCommutative,
               a >= b || a != a ? a : b, a >= b ? a : b,
               const Value first = greater_equal(a, b);
               const Value zero = constant_like(grad, 0);
               set(select(first, grad, zero), select(first, zero, grad)))

TRIREME_BINARY(Minimum, minimum, kAny, kArithmetic, kCommutative,
               a <= b || a != a ? a : b, a <= b ? a : b,
               const Value first = less_equal(a, b);
               const Value zero = constant_like(grad, 0);
               set(select(first, grad, zero), select(first, zero, grad)))

// a^b. The gradient to the exponent counts as zero where a ≤ 0, where log(a) is no number.
TRIREME_BINARY(Power, power, kAny, kWide, kOrdered, pow(a, b), (integer_power<T, U>(a, b)),
               const Value da = grad * b * power(a, b - constant_like(b, 1));
               const Value safe = select(greater(a, constant_like(a, 0)), a, constant_like(a, 1));
               set(da, grad * y * log(safe)))

// The division rounded down, and what it leaves: of the divisor's sign, as Python's // and % and
// NumPy's mod. An integer divided by 0 is 0, with 0 left.
TRIREME_BINARY(FloorDivide, floor_divide, kAny, kWide, kOrdered,
               b == T(0) ? a / b
                         : floored_quotient(rint((a - fmod(a, b)) / b), fmod(a, b), b),
               b == 0 ? T(0) : b == -1 ? T(U(0) - U(a))
                                       : floored_quotient(T(a / b), T(a % b), b))
TRIREME_BINARY(FloorMod, floor_mod, kAny, kWide, kOrdered,
               floored_remainder(fmod(a, b), b),
               b == 0 || b == -1 ? T(0) : floored_remainder(T(a % b), b),
               set(grad, negate(grad * floor_divide(a, b))))

// The angle of the point (b, a), in (−π, π].
TRIREME_BINARY(Atan2, atan2, kReal, kWide, kOrdered, atan2(a, b), T(),
               const Value scaled = grad / (square(a) + square(b));
               set(scaled * b, negate(scaled * a)))

TRIREME_UNARY(Negate, negate, kAny, kFollow, -a, T(U(0) - U(a)),
              set(negate(grad)))
TRIREME_UNARY(Abs, abs, kAny, kFollow, fabs(a), a < 0 ? T(U(0) - U(a)) : a,
              set(grad * sign(x)))
TRIREME_UNARY(Square, square, kAny, kWide, a * a, T(U(a) * U(a)),
              set(grad * (x * constant_like(x, 2))))
// −1, 0 or 1; constant almost everywhere, so without a gradient.
TRIREME_UNARY(Sign, sign, kAny, kWide, T(a > T(0)) - T(a < T(0)), T(a > 0) - T(a < 0))

// Whole numbers: downwards, upwards, to the nearest and of two to the even one. Constant almost
// everywhere, so without a gradient.
TRIREME_UNARY(Floor, floor, kAny, kWide, floor(a), a)
TRIREME_UNARY(Ceil, ceil, kAny, kWide, ceil(a), a)
TRIREME_UNARY(Round, round, kAny, kWide, rint(a), a)

// --- functions

TRIREME_UNARY(Exp, exp, kReal, kWide, exp(a), T(),
              set(grad * y))
// e^x − 1, exact near 0 too.
TRIREME_UNARY(Expm1, expm1, kReal, kWide, expm1(a), T(),
              set(grad * (y + constant_like(y, 1))))
TRIREME_UNARY(Log, log, kReal, kWide, log(a), T(),
              set(grad / x))
// log(1 + x), exact near 0 too.
TRIREME_UNARY(Log1p, log1p, kReal, kWide, log1p(a), T(),
              set(grad / (x + constant_like(x, 1))))
TRIREME_UNARY(Log2, log2, kReal, kWide, log2(a), T(),
              set(grad / (x * constant_like(x, 0.6931471805599453))))
TRIREME_UNARY(Log10, log10, kReal, kWide, log10(a), T(),
              set(grad / (x * constant_like(x, 2.302585092994046))))
TRIREME_UNARY(Sqrt, sqrt, kReal, kWide, sqrt(a), T(),
              set(grad * constant_like(y, 0.5) / y))
// 1/√x
TRIREME_UNARY(Rsqrt, rsqrt, kReal, kWide, T(1) / sqrt(a), T(),
              set(grad * (square(y) * y * constant_like(y, -0.5))))
TRIREME_UNARY(Reciprocal, reciprocal, kReal, kWide, T(1) / a, T(),
              set(negate(grad * square(y))))
TRIREME_UNARY(Tanh, tanh, kReal, kFollow, tanh(a), T(),
              set(grad * (constant_like(y, 1) - square(y))))
TRIREME_UNARY(Sin, sin, kReal, kWide, sin(a), T(),
              set(grad * cos(x)))
TRIREME_UNARY(Cos, cos, kReal, kWide, cos(a), T(),
              set(negate(grad * sin(x))))
TRIREME_UNARY(Tan, tan, kReal, kWide, tan(a), T(),
              set(grad * (square(y) + constant_like(y, 1))))
TRIREME_UNARY(Asin, asin, kReal, kWide, asin(a), T(),
              set(grad * rsqrt(constant_like(x, 1) - square(x))))
TRIREME_UNARY(Acos, acos, kReal, kWide, acos(a), T(),
              set(negate(grad * rsqrt(constant_like(x, 1) - square(x)))))
TRIREME_UNARY(Atan, atan, kReal, kWide, atan(a), T(),
              set(grad / (square(x) + constant_like(x, 1))))
TRIREME_UNARY(Sinh, sinh, kReal, kWide, sinh(a), T(),
              set(grad * cosh(x)))
TRIREME_UNARY(Cosh, cosh, kReal, kWide, cosh(a), T(),
              set(grad * sinh(x)))
TRIREME_UNARY(Asinh, asinh, kReal, kWide, asinh(a), T(),
              set(grad * rsqrt(square(x) + constant_like(x, 1))))
TRIREME_UNARY(Acosh, acosh, kReal, kWide, acosh(a), T(),
              set(grad * rsqrt(square(x) - constant_like(x, 1))))
TRIREME_UNARY(Atanh, atanh, kReal, kWide, atanh(a), T(),
              set(grad / (constant_like(x, 1) - square(x))))
// 1 / (1 + e^−x)
TRIREME_UNARY(Sigmoid, sigmoid, kReal, kWide, T(1) / (T(1) + exp(-a)), T(),
              set(grad * (y * (constant_like(y, 1) - y))))
// log(1 + e^x)
TRIREME_UNARY(Softplus, softplus, kReal, kWide, fmax(a, T(0)) + log1p(exp(-fabs(a))), T(),
              set(grad * sigmoid(x)))
// 2/√π · ∫ e^−t² dt from 0 to x.
TRIREME_UNARY(Erf, erf, kReal, kWide, erf(a), T(),
              set(grad * (exp(negate(square(x))) * constant_like(x, 1.1283791670955126))))

// --- what layers apply to their outputs. ops::relu6, selu and others are composed of these
// (elementwise_functions.h). An op …Grad is the derivative at b times a, which is a gradient: one op
// rather than several, as the backward passes of such layers consist of little else.

// The gradient is of the output, so that the input can be overwritten in the forward pass.
TRIREME_UNARY(Relu, relu, kAny, kFollow, a < T(0) ? T(0) : a, a < 0 ? T(0) : a,
              set(relu_grad(grad, y)))
// `a` where b > 0, else 0.
TRIREME_BINARY(ReluGrad, relu_grad, kReal, kWide, kOrdered, b > T(0) ? a : T(0), T(),
               g.set_grad(0, unbroadcast(relu_grad(grad, b), a)))

// x, and b·x where x < 0 (Maas et al. 2013); b may be learned (He et al. 2015).
TRIREME_BINARY(LeakyRelu, leaky_relu, kReal, kFollow, kOrdered, a < T(0) ? a * b : a, T(),
               const Value below = less(a, constant_like(a, 0));
               set(select(below, grad * b, grad), select(below, grad * a, constant_like(a, 0))))
// x, and b·(e^x − 1) where x < 0 (Clevert et al. 2016).
TRIREME_BINARY(Elu, elu, kReal, kFollow, kOrdered, a < T(0) ? b * expm1(a) : a, T(),
               const Value below = less(a, constant_like(a, 0));
               const Value zero = constant_like(a, 0);
               g.set_grad(0, unbroadcast(grad * select(below, y + b, constant_like(a, 1)), a));
               g.set_grad(1, unbroadcast(grad * expm1(select(below, a, zero)), b)))

// x·Φ(x), where Φ is the normal distribution (Hendrycks and Gimpel 2016).
TRIREME_UNARY(Gelu, gelu, kReal, kFollow, T(0.5) * a * erfc(a * T(-0.7071067811865476)), T(),
              set(gelu_grad(grad, x)))
TRIREME_BINARY(GeluGrad, gelu_grad, kReal, kFollow, kOrdered,
               a * (T(0.5) * erfc(b * T(-0.7071067811865476)) +
                    b * T(0.3989422804014327) * exp(T(-0.5) * b * b)), T(),
               const Value density = exp(square(b) * constant_like(b, -0.5)) *
                                     constant_like(b, 0.3989422804014327);
               set(gelu_grad(grad, b), grad * a * density * (constant_like(b, 2) - square(b))))
// Nearly the same: x / (1 + e^−u), u = √(8/π)·(x + 0.044715·x³).
TRIREME_UNARY(GeluTanh, gelu_tanh, kReal, kFollow,
              a / (T(1) + exp(a * (T(-1.5957691216057308) - T(0.07135481627159837) * a * a))), T(),
              set(gelu_tanh_grad(grad, x)))
// With s = 1 / (1 + e^−u) and w = du/dx, the derivative is s + x·w·s·(1 − s), and its own
// s·(1 − s)·(2w + x·(w²·(1 − 2s) + dw/dx)).
TRIREME_FUNCTION(gelu_tanh_slope,
  template <typename T>
  TRIREME_DEVICE T gelu_tanh_slope(T x, T s) {
    // From ±30 on s is 0 or 1 exactly; a larger w could be infinite, and times 0 no number.
    const T near = x < T(-30) ? T(-30) : x > T(30) ? T(30) : x;
    return s + near * (T(1.5957691216057308) + T(0.21406444881479511) * near * near) * s *
                   (T(1) - s);
  })
TRIREME_BINARY(GeluTanhGrad, gelu_tanh_grad, kReal, kFollow, kOrdered,
               a * gelu_tanh_slope(b, T(1) / (T(1) + exp(b * (T(-1.5957691216057308) -
                                                   T(0.07135481627159837) * b * b)))), T(),
               const Value one = constant_like(b, 1);
               const Value two = constant_like(b, 2);
               const Value square_b = square(b);
               const Value s = sigmoid(b * (square_b * constant_like(b, 0.07135481627159837) +
                                            constant_like(b, 1.5957691216057308)));
               const Value w = square_b * constant_like(b, 0.21406444881479511) +
                               constant_like(b, 1.5957691216057308);
               const Value change = b * constant_like(b, 0.42812889762959022);
               set(gelu_tanh_grad(grad, b),
                   grad * a * (s * (one - s)) *
                       (two * w + b * (square(w) * (one - two * s) + change))))
// x / (1 + e^−x) (Elfwing et al. 2018), also called swish.
TRIREME_UNARY(Silu, silu, kReal, kFollow, a / (T(1) + exp(-a)), T(),
              set(silu_grad(grad, x)))
TRIREME_FUNCTION(silu_slope,
  template <typename T>
  TRIREME_DEVICE T silu_slope(T x, T s) { return s * (T(1) + x * (T(1) - s)); })
TRIREME_BINARY(SiluGrad, silu_grad, kReal, kFollow, kOrdered,
               a * silu_slope(b, T(1) / (T(1) + exp(-b))), T(),
               const Value one = constant_like(b, 1);
               const Value two = constant_like(b, 2);
               const Value s = sigmoid(b);
               set(silu_grad(grad, b),
                   grad * a * (s * (one - s)) * (two + b * (one - two * s))))

// --- comparisons and logic, which have no gradient

TRIREME_BINARY(Equal, equal, kCompared, kWide, kCommutative, a == b, a == b)
TRIREME_BINARY(NotEqual, not_equal, kCompared, kWide, kCommutative, a != b, a != b)
TRIREME_BINARY(Less, less, kCompared, kWide, kOrdered, a < b, a < b)
TRIREME_BINARY(LessEqual, less_equal, kCompared, kWide, kOrdered, a <= b, a <= b)
TRIREME_BINARY(Greater, greater, kCompared, kWide, kOrdered, a > b, a > b)
TRIREME_BINARY(GreaterEqual, greater_equal, kCompared, kWide, kOrdered, a >= b, a >= b)
// & and |: without branches, so that loops are vectorised.
TRIREME_BINARY(LogicalAnd, logical_and, kLogical, kWide, kCommutative, T(), a & b)
TRIREME_BINARY(LogicalOr, logical_or, kLogical, kWide, kCommutative, T(), a | b)
TRIREME_BINARY(LogicalXor, logical_xor, kLogical, kWide, kCommutative, T(), a != b)
TRIREME_UNARY(LogicalNot, logical_not, kLogical, kWide, T(), !a)

// An integer is finite.
TRIREME_UNARY(IsNan, is_nan, kCompared, kWide, a != a, T())
TRIREME_UNARY(IsInf, is_inf, kCompared, kWide, a == a && a - a != T(0), T())
TRIREME_UNARY(IsFinite, is_finite, kCompared, kWide, a - a == T(0), T(1))

// clang-format on
#undef TRIREME_FUNCTION
#undef TRIREME_UNARY
#undef TRIREME_BINARY
