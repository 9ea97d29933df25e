#include <cmath>
#include <complex>

#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct ShapePair {
  const char* label;
  Shape a, b;
};

// The broadcasts that kernels tell apart, and the sizes at which vector loops go wrong: 1, odd,
// above a register, empty.
const ShapePair kPairs[] = {
    {"same", {2, 3, 5}, {2, 3, 5}},
    {"one_element", {1}, {1}},
    {"scalars", {}, {}},
    {"scalar_right", {17}, {}},
    {"scalar_left", {}, {4, 5}},
    {"row", {6, 3}, {3}},
    {"row_left", {3}, {6, 3}},
    {"column", {3, 5}, {3, 1}},
    {"outer_product", {7, 1}, {1, 5}},
    {"middle", {2, 3, 4}, {2, 1, 4}},
    {"alternating", {2, 1, 3, 1}, {1, 4, 1, 2}},
    {"empty", {0, 3}, {3}},
    {"long_same", {40009}, {40009}},
    {"long_row", {301, 133}, {133}},
    {"long_column", {301, 133}, {301, 1}},
    {"narrow_row", {20011, 3}, {3}},
};

// Gradients along random directions cost little, but large tensors on the reference kernels do.
bool is_small(const Shape& shape) { return shape.elements() <= 64; }

// The case of a row of core/ops/elementwise_rows.h: where its formula is tried, and what it is to
// give, in other words than the formula's.
struct Row {
  const char* op;
  int inputs;
  double low, high;  // of the inputs; no kink or pole nearby
  double (*truth)(double a, double b);
  bool has_integers = false;
  double far_low = 0, far_high = 0;  // a second range, without gradients
};

double normal_probability(double x) { return (1 + std::erf(x / std::sqrt(2))) / 2; }
double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double gelu_tanh(double x) { return std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }

const Row kRows[] = {
    {"Add", 2, -2, 2, [](double a, double b) { return a + b; }, true},
    {"Subtract", 2, -2, 2, [](double a, double b) { return a - b; }, true},
    {"Multiply", 2, -2, 2, [](double a, double b) { return a * b; }, true},
    {"Divide", 2, 0.5, 2, [](double a, double b) { return a / b; }, true},
    {"Maximum", 2, -2, 2, [](double a, double b) { return std::fmax(a, b); }, true},
    {"Minimum", 2, -2, 2, [](double a, double b) { return std::fmin(a, b); }, true},
    {"Power", 2, 0.3, 2.5, [](double a, double b) { return std::exp(b * std::log(a)); }, true},
    {"FloorDivide", 2, 0.5, 2, [](double a, double b) { return std::floor(a / b); }, true},
    {"FloorMod", 2, 0.5, 2, [](double a, double b) { return a - b * std::floor(a / b); }, true},
    {"Atan2", 2, 0.3, 2, [](double a, double b) { return std::arg(std::complex(b, a)); }},
    {"Floor", 1, -2, 2, [](double x, double) { return x - std::fmod(x + 4, 1); }, true},
    {"Ceil", 1, -2, 2, [](double x, double) { return x + std::fmod(4 - x, 1); }, true},
    {"Round", 1, -2, 2, [](double x, double) { return std::round(x); }, true},
    {"Negate", 1, -2, 2, [](double x, double) { return 0 - x; }, true},
    {"Abs", 1, -2, 2, [](double x, double) { return std::sqrt(x * x); }, true},
    {"Square", 1, -2, 2, [](double x, double) { return std::pow(x, 2); }, true},
    {"Sign", 1, -2, 2, [](double x, double) { return std::copysign(1, x); }, true},
    {"Exp", 1, -2, 2, [](double x, double) { return std::exp2(x / M_LN2); }, false, -60, 60},
    {"Expm1", 1, -2, 2, [](double x, double) { return std::exp(x) - 1; }, false, -60, 60},
    {"Log", 1, 0.3, 3, [](double x, double) { return std::log2(x) * M_LN2; }, false, 1e-6, 1e-3},
    {"Log1p", 1, -0.5, 3, [](double x, double) { return std::log(1 + x); }, false, 1e-6, 1e-3},
    {"Log2", 1, 0.3, 3, [](double x, double) { return std::log(x) / M_LN2; }, false, 1e-6, 1e-3},
    {"Log10", 1, 0.3, 3, [](double x, double) { return std::log(x) / M_LN10; }, false, 1e-6, 1e-3},
    {"Sqrt", 1, 0.3, 3, [](double x, double) { return std::pow(x, 0.5); }, false, 1e-6, 1e-3},
    {"Rsqrt", 1, 0.3, 3, [](double x, double) { return std::pow(x, -0.5); }, false, 1e-6, 1e-3},
    {"Reciprocal", 1, 0.3, 3, [](double x, double) { return std::pow(x, -1); }, false, 1e-6, 1e-3},
    {"Tanh", 1, -2, 2, [](double x, double) { return std::sinh(x) / std::cosh(x); }, false, -60,
     60},
    {"Sin", 1, -2, 2, [](double x, double) { return std::exp(std::complex(0.0, x)).imag(); }, false,
     -100, 100},
    {"Cos", 1, -2, 2, [](double x, double) { return std::exp(std::complex(0.0, x)).real(); }, false,
     -100, 100},
    {"Tan", 1, -1, 1, [](double x, double) { return std::sin(x) / std::cos(x); }},
    {"Asin", 1, -0.8, 0.8, [](double x, double) { return std::atan(x / std::sqrt(1 - x * x)); }},
    {"Acos", 1, -0.8, 0.8, [](double x, double) { return M_PI_2 - std::asin(x); }},
    {"Atan", 1, -2, 2, [](double x, double) { return std::arg(std::complex(1.0, x)); }, false, -60,
     60},
    {"Sinh", 1, -2, 2, [](double x, double) { return (std::exp(x) - std::exp(-x)) / 2; }, false, -20,
     20},
    {"Cosh", 1, -2, 2, [](double x, double) { return (std::exp(x) + std::exp(-x)) / 2; }, false, -20,
     20},
    {"Asinh", 1, -2, 2, [](double x, double) { return std::log(x + std::sqrt(x * x + 1)); }, false,
     -60, 60},
    {"Acosh", 1, 1.2, 3, [](double x, double) { return std::log(x + std::sqrt(x * x - 1)); }, false,
     2, 60},
    {"Atanh", 1, -0.8, 0.8, [](double x, double) { return std::log((1 + x) / (1 - x)) / 2; }},
    {"Sigmoid", 1, -2, 2, [](double x, double) { return (std::tanh(x / 2) + 1) / 2; }, false, -60,
     60},
    {"Softplus", 1, -2, 2, [](double x, double) { return std::log(1 + std::exp(x)); }, false, -60,
     60},
    {"Erf", 1, -2, 2, [](double x, double) { return 1 - std::erfc(x); }, false, -6, 6},
    {"Relu", 1, -2, 2, [](double x, double) { return std::fmax(x, 0); }, true},
    {"ReluGrad", 2, -2, 2, [](double a, double b) { return b <= 0 ? 0 : a; }},
    {"LeakyRelu", 2, -2, 2, [](double a, double b) { return std::fmax(a, 0) + b * std::fmin(a, 0); }},
    {"Elu", 2, -2, 2,
     [](double a, double b) { return std::fmax(a, 0) + b * (std::exp(std::fmin(a, 0)) - 1); }},
    {"Gelu", 1, -2, 2, [](double x, double) { return x * normal_probability(x); }, false, -12, 12},
    {"GeluGrad", 2, -2, 2,
     [](double a, double b) { return a * (normal_probability(b) + b * normal_density(b)); }, false,
     -12, 12},
    {"GeluTanh", 1, -2, 2, [](double x, double) { return x / 2 * (1 + gelu_tanh(x)); }, false, -12,
     12},
    {"GeluTanhGrad", 2, -2, 2,
     [](double a, double b) {
       const double t = gelu_tanh(b);
       return a / 2 *
              (1 + t + b * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * b * b));
     },
     false, -12, 12},
    {"Silu", 1, -2, 2, [](double x, double) { return x / 2 * (1 + std::tanh(x / 2)); }, false, -60,
     60},
    {"SiluGrad", 2, -2, 2,
     [](double a, double b) {
       const double t = std::tanh(b / 2);
       return a / 2 * (1 + t + b / 2 * (1 - t * t));
     },
     false, -60, 60},
    {"IsNan", 1, -2, 2, [](double, double) { return 0.0; }, true},
    {"IsInf", 1, -2, 2, [](double, double) { return 0.0; }, true},
    {"IsFinite", 1, -2, 2, [](double, double) { return 1.0; }, true},
    {"Equal", 2, -2, 2, [](double a, double b) { return double(!(a < b || a > b)); }, true},
    {"NotEqual", 2, -2, 2, [](double a, double b) { return double(a < b || a > b); }, true},
    {"Less", 2, -2, 2, [](double a, double b) { return double(!(a >= b)); }, true},
    {"LessEqual", 2, -2, 2, [](double a, double b) { return double(!(a > b)); }, true},
    {"Greater", 2, -2, 2, [](double a, double b) { return double(!(a <= b)); }, true},
    {"GreaterEqual", 2, -2, 2, [](double a, double b) { return double(!(a < b)); }, true},
};

// 16-bit floats are compared with what the wide result rounds to: half a unit of 8 (bf16) or 11
// bits, plus a tie.
void add_real(std::vector<OpCase>& cases, const Row& row) {
  const auto add = [&](const std::string& label, std::vector<OpInput> inputs,
                       bool is_differentiated) {
    cases.push_back({row.op, label, std::move(inputs)});
    cases.back().check_gradient = is_differentiated;
    cases.back().truth = row.truth;
  };
  if (row.inputs == 1) {
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 7}, Shape{0, 2}, Shape{70003}})
      add(shape.to_string(), {real(shape, row.low, row.high)}, is_small(shape));
  } else {
    for (const ShapePair& pair : kPairs) {
      add(pair.label, {real(pair.a, row.low, row.high), real(pair.b, row.low, row.high)},
          is_small(pair.a) && is_small(pair.b));
    }
  }
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    std::vector<OpInput> operands(static_cast<size_t>(row.inputs),
                                  fixed(dtype, {5, 19}, row.low, row.high));
    cases.push_back({row.op, std::string(name(dtype)), operands});
    cases.back().tolerance_f32 = dtype == DType::kBFloat16 ? 0.008 : 0.001;
  }
}

void add_integers(std::vector<OpCase>& cases, const Row& row) {
  for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8}) {
    std::vector<OpInput> operands(static_cast<size_t>(row.inputs), fixed(dtype, {5, 9}, 0, 6));
    cases.push_back({row.op, std::string(name(dtype)), operands});
  }
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> cases;
  for (const Row& row : kRows) {
    add_real(cases, row);
    if (row.has_integers) add_integers(cases, row);
    if (row.far_low < row.far_high) {
      std::vector<OpInput> operands(static_cast<size_t>(row.inputs),
                                    real({1001}, row.far_low, row.far_high));
      cases.push_back({row.op, "far_out", operands});
      cases.back().check_gradient = false;
    }
  }
  cases.push_back(
      {"ReluGrad", "long", {real({70003}), real({70003})}, {}, 1e-5, 1e-11, 1e-6, false});
  for (const char* op : {"FloorDivide", "FloorMod"}) {
    for (const DType dtype : {DType::kInt32, DType::kInt64}) {
      cases.push_back({op,
                       str_cat("signs_", name(dtype)),
                       {fixed(dtype, {37}, -9, 9), fixed(dtype, {37}, -4, 4)}});
    }
    cases.push_back(
        {op, "signs", {fixed(DType::kFloat32, {37}, -9, 9), fixed(DType::kFloat32, {37}, -4, 4)}});
  }
  for (const char* op : {"LogicalAnd", "LogicalOr", "LogicalXor"}) {
    cases.push_back(
        {op, "row", {fixed(DType::kBool, {7, 9}, 0, 2), fixed(DType::kBool, {9}, 0, 2)}});
  }
  cases.push_back({"LogicalNot", "odd", {fixed(DType::kBool, {7, 9}, 0, 2)}});
  const auto condition = [](const Shape& shape) { return fixed(DType::kBool, shape, 0, 2); };
  cases.push_back({"Select", "same", {condition({3, 5}), real({3, 5}), real({3, 5})}});
  cases.push_back({"Select", "scalar_choice", {condition({3, 5}), real({3, 5}), real({})}});
  cases.push_back({"Select", "column_condition", {condition({3, 1}), real({3, 5}), real({5})}});
  cases.push_back({"Select", "all_broadcast", {condition({2, 1, 1}), real({3, 1}), real({4})}});
  cases.push_back({"Select",
                   "long",
                   {condition({301, 133}), real({301, 133}), real({})},
                   {},
                   1e-5,
                   1e-11,
                   1e-6,
                   false});
  for (const DType to : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                         DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    const std::string label = "to_" + std::string(name(to));
    cases.push_back({"Cast", label, {real({3, 37}, 0, 5)}, {{"dtype", to}}});
    cases.back().check_gradient = to == DType::kFloat64;
    for (const DType from : {DType::kFloat16, DType::kBFloat16, DType::kInt32, DType::kInt64,
                             DType::kUInt8, DType::kBool}) {
      cases.push_back(
          {"Cast", str_cat(name(from), "_", label), {fixed(from, {3, 37}, 0, 5)}, {{"dtype", to}}});
    }
  }
  const auto chain = [&](const char* label, std::vector<OpInput> inputs, const char* text) {
    cases.push_back({"FusedElementwise", label, std::move(inputs), {{"chain", std::string(text)}}});
  };
  chain("two_outputs", {real({7, 9}), real({9}), real({7, 1})},
        "Add(0,1) Tanh(3) Multiply(4,2) ReluGrad(5,4) -> 6,4");
  chain("through_all_types", {real({5, 12}), real({})},
        "Constant[dtype=t:i32,value=d:0x1p+1]() Greater(0,1) Cast[dtype=t:i32](3) Add(4,2) "
        "Cast[dtype=t:f64](5) Cast[dtype=t:bf16](6) Cast[dtype=t:f32](7) Sqrt(8) -> 9");
  chain("shapes_only", {real({3, 1, 4}), real({2, 1})},
        "FillLike[value=d:0x1.8p+0](0) Add(2,1) BroadcastLike[average=b:1](1,3) "
        "Subtract(3,4) -> 5,3");
  chain(
      "new_dimensions", {real({3}), real({3, 4}), real({1, 5, 1})},
      "Exp(0) ExpandDims[axes=l:1](3) Multiply(4,1) ExpandDims[axes=l:1](5) Squeeze[axes=l:0.2](2) "
      "ExpandDims[axes=l:1](7) Add(6,8) -> 9");
  chain("long", {real({301, 133}), real({133})}, "Add(0,1) Sigmoid(2) Square(3) -> 4");
  return cases;
}

}  // namespace trireme::testing
