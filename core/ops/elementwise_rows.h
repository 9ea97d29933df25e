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

TRIREME_UNARY(Negate, negate, kAny, kFollow, -a, T(U(0) - U(a)),
              set(negate(grad)))
TRIREME_UNARY(Abs, abs, kAny, kFollow, fabs(a), a < 0 ? T(U(0) - U(a)) : a,
              set(grad * sign(x)))
TRIREME_UNARY(Square, square, kAny, kWide, a * a, T(U(a) * U(a)),
              set(grad * (x * constant_like(x, 2))))
// −1, 0 or 1; constant almost everywhere, so without a gradient.
TRIREME_UNARY(Sign, sign, kAny, kWide, T(a > T(0)) - T(a < T(0)), T(a > 0) - T(a < 0))

// --- functions

TRIREME_UNARY(Exp, exp, kReal, kWide, exp(a), T(),
              set(grad * y))
// e^x − 1, exact near 0 too.
TRIREME_UNARY(Expm1, expm1, kReal, kWide, expm1(a), T(),
              set(grad * (y + constant_like(y, 1))))
TRIREME_UNARY(Log, log, kReal, kWide, log(a), T(),
              set(grad / x))
TRIREME_UNARY(Sqrt, sqrt, kReal, kWide, sqrt(a), T(),
              set(grad * constant_like(y, 0.5) / y))
// 1/√x
TRIREME_UNARY(Rsqrt, rsqrt, kReal, kWide, T(1) / sqrt(a), T(),
              set(grad * (square(y) * y * constant_like(y, -0.5))))
TRIREME_UNARY(Reciprocal, reciprocal, kReal, kWide, T(1) / a, T(),
              set(negate(grad * square(y))))
TRIREME_UNARY(Tanh, tanh, kReal, kFollow, tanh(a), T(),
              set(grad * (constant_like(y, 1) - square(y))))
// 1 / (1 + e^−x)
TRIREME_UNARY(Sigmoid, sigmoid, kReal, kWide, T(1) / (T(1) + exp(-a)), T(),
              set(grad * (y * (constant_like(y, 1) - y))))
// log(1 + e^x)
TRIREME_UNARY(Softplus, softplus, kReal, kWide, fmax(a, T(0)) + log1p(exp(-fabs(a))), T(),
              set(grad * sigmoid(x)))
// 2/√π · ∫ e^−t² dt from 0 to x.
TRIREME_UNARY(Erf, erf, kReal, kWide, erf(a), T(),
              set(grad * (exp(negate(square(x))) * constant_like(x, 1.1283791670955126))))

// The gradient is of the output, so that the input can be overwritten in the forward pass.
TRIREME_UNARY(Relu, relu, kAny, kFollow, a < T(0) ? T(0) : a, a < 0 ? T(0) : a,
              set(relu_grad(grad, y)))
// `a`, which is a gradient, where b > 0, else 0. One op rather than select(greater(b, 0), …): it is
// what most backward passes consist of.
TRIREME_BINARY(ReluGrad, relu_grad, kReal, kWide, kOrdered, b > T(0) ? a : T(0), T(),
               g.set_grad(0, unbroadcast(relu_grad(grad, b), a)))

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
TRIREME_UNARY(LogicalNot, logical_not, kLogical, kWide, T(), !a)

// clang-format on
#undef TRIREME_FUNCTION
#undef TRIREME_UNARY
#undef TRIREME_BINARY
