#include "core/device/cuda/chain_formulas.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

// The formulas are those of core/device/reference, NaN and ties included.
constexpr Formula kFormulas[] = {
    {"Add", 2, "a + b", "T(U(a) + U(b))"},
    {"BiasAdd", 2, "a + b", ""},
    {"Subtract", 2, "a - b", "T(U(a) - U(b))"},
    {"Multiply", 2, "a * b", "T(U(a) * U(b))"},
    {"Divide", 2, "a / b", "b == 0 ? T(0) : b == -1 ? T(U(0) - U(a)) : T(a / b)"},
    {"Maximum", 2, "a >= b || a != a ? a : b", "a >= b ? a : b"},
    {"Minimum", 2, "a <= b || a != a ? a : b", "a <= b ? a : b"},
    {"Power", 2, "pow(a, b)", "integer_power<T, U>(a, b)"},
    {"ReluGrad", 2, "b > T(0) ? a : T(0)", ""},
    {"Negate", 1, "-a", "T(U(0) - U(a))"},
    {"Abs", 1, "fabs(a)", "a < 0 ? T(U(0) - U(a)) : a"},
    {"Square", 1, "a * a", "T(U(a) * U(a))"},
    {"Relu", 1, "a < T(0) ? T(0) : a", "a < 0 ? T(0) : a"},
    {"Sign", 1, "T((a > T(0)) - (a < T(0)))", "T((a > 0) - (a < 0))"},
    {"Exp", 1, "exp(a)", ""},
    {"Log", 1, "log(a)", ""},
    {"Sqrt", 1, "sqrt(a)", ""},
    {"Rsqrt", 1, "T(1) / sqrt(a)", ""},
    {"Reciprocal", 1, "T(1) / a", ""},
    {"Tanh", 1, "tanh(a)", ""},
    {"Sigmoid", 1, "T(1) / (T(1) + exp(-a))", ""},
    {"Softplus", 1, "fmax(a, T(0)) + log1p(exp(-fabs(a)))", ""},
    {"SigmoidCrossEntropy", 2, "fmax(a, T(0)) - a * b + log1p(exp(-fabs(a)))", ""},
    {"Equal", 2, "a == b", "a == b", "a == b", true},
    {"NotEqual", 2, "a != b", "a != b", "a != b", true},
    {"Less", 2, "a < b", "a < b", "a < b", true},
    {"LessEqual", 2, "a <= b", "a <= b", "a <= b", true},
    {"Greater", 2, "a > b", "a > b", "a > b", true},
    {"GreaterEqual", 2, "a >= b", "a >= b", "a >= b", true},
    {"LogicalAnd", 2, "", "", "a && b", true},
    {"LogicalOr", 2, "", "", "a || b", true},
    {"LogicalNot", 1, "", "", "!a", true},
    // Written out at each step: their types differ among themselves or they have attributes.
    {"Select", 3, kSameForAll, kSameForAll, kSameForAll},
    {"Cast", 1, kSameForAll, kSameForAll, kSameForAll},
    {"FillLike", 1, kSameForAll, kSameForAll, kSameForAll},
    {"BroadcastLike", 2, kSameForAll, kSameForAll, kSameForAll},
};

constexpr std::string_view kIntegerPower = R"(template <typename T, typename U>
TRIREME_DEVICE T integer_power(T base, T exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  U result = 1, factor = U(base);
  for (U left = U(exponent); left > 0; left >>= 1, factor *= factor) {
    if (left & 1) result *= factor;
  }
  return T(result);
}
)";

bool is_half_size(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

}  // namespace

std::span<const Formula> formulas() { return kFormulas; }
std::string_view integer_power_source() { return kIntegerPower; }

const Formula* find_formula(std::string_view op) {
  const auto it = std::ranges::find(kFormulas, op, &Formula::op);
  return it == std::end(kFormulas) ? nullptr : it;
}

std::string_view formula_for(const Formula& formula, DType dtype) {
  if (dtype == DType::kString) return "";
  return is_floating(dtype) ? formula.real : is_integer(dtype) ? formula.integer : formula.boolean;
}

std::string_view storage_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "Half";
    case DType::kBFloat16:
      return "BFloat16";
    case DType::kFloat32:
      return "float";
    case DType::kFloat64:
      return "double";
    case DType::kInt32:
      return "int";
    case DType::kInt64:
      return "long long";
    case DType::kUInt8:
      return "unsigned char";
    default:
      return "bool";
  }
}

std::string_view value_type(DType dtype) {
  return is_half_size(dtype) ? "float" : storage_type(dtype);
}

FormulaType formula_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return {"f64", "double", "double"};
    case DType::kInt32:
    case DType::kUInt8:
      return {"i32", "int", "unsigned int"};
    case DType::kInt64:
      return {"i64", "long long", "unsigned long long"};
    case DType::kBool:
      return {"bool", "bool", "bool"};
    default:
      return {"f32", "float", "float"};
  }
}

std::string literal(DType dtype, double value) {
  if (dtype == DType::kBool) return value != 0 ? "true" : "false";
  if (is_integer(dtype)) {
    // The lowest i64 is no literal: a minus is an operator.
    const auto whole = static_cast<int64_t>(value);
    return whole == INT64_MIN
               ? "(-9223372036854775807LL - 1)"
               : str_cat(value_type(dtype) == "long long" ? "" : "(int)", whole, "LL");
  }
  const std::string type(value_type(dtype));
  if (std::isnan(value)) return "(" + type + ")__int_as_float(0x7fffffff)";
  if (std::isinf(value)) {
    return "(" + type + ")__int_as_float(" + (value > 0 ? "0x7f800000" : "(int)0xff800000u") + ")";
  }
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return "(" + type + ")" + (value < 0 ? "(" + std::string(text) + ")" : text);
}

}  // namespace trireme::cuda
