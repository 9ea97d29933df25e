#include <cmath>
#include <cstdlib>

#include "core/device/reference/index.h"
#include "core/device/wrapping.h"

namespace trireme {
namespace {

// What an op computes, in WideType: a pointer, so that the loops are compiled for types, not for
// ops.
template <typename Wide, typename Result>
using BinaryFunction = Result (*)(Wide, Wide);
template <typename Wide>
using UnaryFunction = Wide (*)(Wide);

// y[i] = function(a[i], b[i]) with broadcasting; Out is T or bool.
template <typename T, typename Out>
PreparedKernel binary(const KernelSpec& spec, BinaryFunction<WideType<T>, WideType<Out>> function) {
  return {[a = spec.input_shape(0), b = spec.input_shape(1), y = spec.output_shape(),
           function](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      const auto left = convert<WideType<T>>(args.in<T>(0)[broadcast_position(a, y.rank(), index)]);
      const auto right =
          convert<WideType<T>>(args.in<T>(1)[broadcast_position(b, y.rank(), index)]);
      args.out<Out>()[i] = convert<Out>(function(left, right));
    });
  }};
}

template <typename T>
PreparedKernel unary(const KernelSpec& spec, UnaryFunction<WideType<T>> function) {
  return {[n = spec.output_shape().elements(), function](const KernelArgs& args) {
    for (int64_t i = 0; i < n; ++i) {
      args.out<T>()[i] = convert<T>(function(convert<WideType<T>>(args.in<T>(0)[i])));
    }
  }};
}

template <typename T>
PreparedKernel select(const KernelSpec& spec) {
  return {[c = spec.input_shape(0), a = spec.input_shape(1), b = spec.input_shape(2),
           y = spec.output_shape()](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      const bool condition = args.in<bool>(0)[broadcast_position(c, y.rank(), index)];
      args.out<T>()[i] = condition ? args.in<T>(1)[broadcast_position(a, y.rank(), index)]
                                   : args.in<T>(2)[broadcast_position(b, y.rank(), index)];
    });
  }};
}

template <typename From>
PreparedKernel cast(const KernelSpec& spec) {
  const int64_t n = spec.output_shape().elements();
  const auto to = [n]<typename To>(To) -> PreparedKernel {
    return {[n](const KernelArgs& args) {
      for (int64_t i = 0; i < n; ++i) args.out<To>()[i] = convert<To>(args.in<From>(0)[i]);
    }};
  };
  switch (spec.outputs[0].dtype) {
    case DType::kFloat16:
      return to(Half());
    case DType::kBFloat16:
      return to(BFloat16());
    case DType::kFloat32:
      return to(float());
    case DType::kFloat64:
      return to(double());
    case DType::kInt32:
      return to(int32_t());
    case DType::kInt64:
      return to(int64_t());
    case DType::kUInt8:
      return to(uint8_t());
    default:
      return to(bool());
  }
}

template <typename T>
PreparedKernel fill_like(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements(),
           value = spec.attribute<double>("value")](const KernelArgs& args) {
    for (int64_t i = 0; i < n; ++i) args.out<T>()[i] = convert<T>(value);
  }};
}

// Registers `function` for the types Ts; it takes and gives numbers of WideType.
template <typename... Ts, typename Function>
void add_binary(KernelTable& table, const char* op, Function function) {
  add_for<Ts...>(table, op, kReferenceKind,
                 [=]<typename T>(const KernelSpec& spec) { return binary<T, T>(spec, function); });
}
template <typename... Ts, typename Function>
void add_comparison(KernelTable& table, const char* op, Function function) {
  add_for<Ts...>(table, op, kReferenceKind, [=]<typename T>(const KernelSpec& spec) {
    return binary<T, bool>(spec, function);
  });
}
template <typename... Ts, typename Function>
void add_unary(KernelTable& table, const char* op, Function function) {
  add_for<Ts...>(table, op, kReferenceKind,
                 [=]<typename T>(const KernelSpec& spec) { return unary<T>(spec, function); });
}

template <typename Function>
void add_numeric_binary(KernelTable& table, const char* op, Function function) {
  add_binary<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(table, op, function);
}
template <typename Function>
void add_numeric_comparison(KernelTable& table, const char* op, Function function) {
  add_comparison<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(table, op,
                                                                                 function);
}
template <typename Function>
void add_numeric_unary(KernelTable& table, const char* op, Function function) {
  add_unary<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(table, op, function);
}
template <typename Function>
void add_float_unary(KernelTable& table, const char* op, Function function) {
  add_unary<Half, BFloat16, float, double>(table, op, function);
}

template <typename N>
N integer_power(N base, N exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  // Unsigned, so that overflow wraps around.
  uint64_t result = 1, factor = static_cast<uint64_t>(base);
  for (uint64_t left = static_cast<uint64_t>(exponent); left > 0; left >>= 1, factor *= factor) {
    if (left & 1) result *= factor;
  }
  return static_cast<N>(result);
}

void register_arithmetic(KernelTable& table) {
  add_numeric_binary(table, "Add",
                     [](auto a, auto b) { return decltype(a)(wrapping(a) + wrapping(b)); });
  add_numeric_binary(table, "Subtract",
                     [](auto a, auto b) { return decltype(a)(wrapping(a) - wrapping(b)); });
  add_numeric_binary(table, "Multiply",
                     [](auto a, auto b) { return decltype(a)(wrapping(a) * wrapping(b)); });
  add_numeric_binary(table, "Divide", []<typename N>(N a, N b) -> N {
    if constexpr (std::is_integral_v<N>) {
      if (b == 0) return 0;
      if (b == -1) return N(-wrapping(a));  // the one quotient that does not fit would trap
    }
    return a / b;
  });
  add_numeric_binary(table, "Maximum", [](auto a, auto b) { return a >= b || a != a ? a : b; });
  add_numeric_binary(table, "Minimum", [](auto a, auto b) { return a <= b || a != a ? a : b; });
  add_numeric_binary(table, "Power", []<typename N>(N a, N b) -> N {
    if constexpr (std::is_integral_v<N>)
      return integer_power(a, b);
    else
      return std::pow(a, b);
  });
  add_binary<Half, BFloat16, float, double>(
      table, "ReluGrad", [](auto grad, auto y) { return y > 0 ? grad : decltype(y){0}; });
  add_numeric_unary(table, "Negate", [](auto x) { return decltype(x)(-wrapping(x)); });
  add_numeric_unary(table, "Abs",
                    [](auto x) { return x < 0 ? decltype(x)(-wrapping(x)) : std::abs(x); });
  add_numeric_unary(table, "Square", [](auto x) { return decltype(x)(wrapping(x) * wrapping(x)); });
  add_numeric_unary(table, "Relu", [](auto x) { return x < 0 ? decltype(x){0} : x; });
  add_numeric_unary(table, "Sign", [](auto x) { return decltype(x)((x > 0) - (x < 0)); });
  add_float_unary(table, "Exp", [](double x) { return std::exp(x); });
  add_float_unary(table, "Log", [](double x) { return std::log(x); });
  add_float_unary(table, "Sqrt", [](double x) { return std::sqrt(x); });
  add_float_unary(table, "Rsqrt", [](double x) { return 1 / std::sqrt(x); });
  add_float_unary(table, "Reciprocal", [](double x) { return 1 / x; });
  add_float_unary(table, "Tanh", [](double x) { return std::tanh(x); });
  add_float_unary(table, "Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); });
  add_float_unary(table, "Softplus",
                  [](double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); });
}

}  // namespace

void register_reference_elementwise(KernelTable& table) {
  register_arithmetic(table);
  add_numeric_comparison(table, "Equal", [](auto a, auto b) { return a == b; });
  add_numeric_comparison(table, "NotEqual", [](auto a, auto b) { return a != b; });
  add_numeric_comparison(table, "Less", [](auto a, auto b) { return a < b; });
  add_numeric_comparison(table, "LessEqual", [](auto a, auto b) { return a <= b; });
  add_numeric_comparison(table, "Greater", [](auto a, auto b) { return a > b; });
  add_numeric_comparison(table, "GreaterEqual", [](auto a, auto b) { return a >= b; });
  add_binary<bool>(table, "LogicalAnd", [](bool a, bool b) { return a && b; });
  add_binary<bool>(table, "LogicalOr", [](bool a, bool b) { return a || b; });
  add_unary<bool>(table, "LogicalNot", [](bool x) { return !x; });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Select", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return select<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Cast", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return cast<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "FillLike", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return fill_like<T>(spec); });
}

}  // namespace trireme
