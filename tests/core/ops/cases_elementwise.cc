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

void add_binary(std::vector<OpCase>& cases, const std::string& op, double low, double high) {
  for (const ShapePair& pair : kPairs) {
    cases.push_back({op, pair.label, {real(pair.a, low, high), real(pair.b, low, high)}});
    cases.back().check_gradient = is_small(pair.a) && is_small(pair.b);
  }
}

void add_unary(std::vector<OpCase>& cases, const std::string& op, double low, double high) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 7}, Shape{0, 2}, Shape{70003}}) {
    cases.push_back({op, shape.to_string(), {real(shape, low, high)}});
    cases.back().check_gradient = is_small(shape);
  }
}

void add_integers(std::vector<OpCase>& cases, const std::string& op, int inputs) {
  for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8}) {
    std::vector<OpInput> operands(static_cast<size_t>(inputs), fixed(dtype, {5, 9}, 0, 6));
    cases.push_back({op, std::string(name(dtype)), operands});
  }
}

// 16-bit floats are compared with what the wide result rounds to: half a unit of 8 (bf16) or 11
// bits, plus a tie.
void add_small_floats(std::vector<OpCase>& cases, const std::string& op, int inputs, double low,
                      double high) {
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    std::vector<OpInput> operands(static_cast<size_t>(inputs), fixed(dtype, {5, 19}, low, high));
    cases.push_back({op, std::string(name(dtype)), operands});
    cases.back().tolerance_f32 = dtype == DType::kBFloat16 ? 0.008 : 0.001;
  }
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> cases;
  for (const char* op : {"Add", "Subtract", "Multiply", "Maximum", "Minimum"}) {
    add_binary(cases, op, -2, 2);
    add_integers(cases, op, 2);
    add_small_floats(cases, op, 2, -2, 2);
  }
  for (const char* op : {"Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"}) {
    add_binary(cases, op, -2, 2);
    add_integers(cases, op, 2);
  }
  add_binary(cases, "Divide", 0.5, 2);
  add_integers(cases, "Divide", 2);
  add_small_floats(cases, "Divide", 2, 0.5, 2);
  add_binary(cases, "Power", 0.3, 2.5);
  add_integers(cases, "Power", 2);
  for (const char* op : {"Negate", "Square", "Relu", "Abs", "Sign"}) {
    add_unary(cases, op, -2, 2);
    add_integers(cases, op, 1);
    add_small_floats(cases, op, 1, -2, 2);
  }
  for (const char* op : {"Exp", "Tanh", "Sigmoid", "Softplus"}) {
    add_unary(cases, op, -2, 2);
    cases.push_back({op, "far_out", {real({1001}, -60, 60)}});
    cases.back().check_gradient = false;
    add_small_floats(cases, op, 1, -2, 2);
  }
  for (const char* op : {"Log", "Sqrt", "Rsqrt", "Reciprocal"}) {
    add_unary(cases, op, 0.3, 3);
    cases.push_back({op, "small_numbers", {real({1001}, 1e-6, 1e-3)}});
    cases.back().check_gradient = false;
    add_small_floats(cases, op, 1, 0.3, 3);
  }
  cases.push_back({"ReluGrad", "odd", {real({3, 7}), real({3, 7})}});
  cases.push_back(
      {"ReluGrad", "long", {real({70003}), real({70003})}, {}, 1e-5, 1e-11, 1e-6, false});
  for (const char* op : {"LogicalAnd", "LogicalOr"}) {
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
