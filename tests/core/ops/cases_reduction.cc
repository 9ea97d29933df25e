#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Axes {
  const char* label;
  Shape shape;
  Ints axes;
};

// What kernels tell apart: leading, trailing, both, middle; then sizes at which they cut work into
// pieces.
const Axes kAxes[] = {
    {"all", {3, 5}, {0, 1}},
    {"scalar", {}, {}},
    {"leading", {5, 3}, {0}},
    {"trailing", {3, 5}, {1}},
    {"middle", {2, 3, 4}, {1}},
    {"outer_and_inner", {2, 3, 4}, {0, 2}},
    {"all_but_last", {2, 2, 3, 2}, {0, 1, 2}},
    {"alternating", {2, 2, 2, 2, 2}, {0, 2, 4}},
    {"size_one", {1, 7}, {0}},
    {"long_all", {70001}, {0}},
    {"long_leading", {3001, 37}, {0}},
    {"long_narrow_leading", {20011, 3}, {0}},
    {"wide_leading", {5, 20011}, {0}},
    {"long_trailing", {37, 3001}, {1}},
    {"narrow_trailing", {20011, 3}, {1}},
    {"long_middle", {9, 301, 37}, {1}},
    {"images", {4, 13, 17, 21}, {0, 1, 2}},
};

struct Pair {
  const char* label;
  Shape whole, part;
};

const Pair kPairs[] = {
    {"same", {3, 5}, {3, 5}},
    {"scalar", {3, 5}, {}},
    {"row", {4, 5}, {5}},
    {"column", {4, 5}, {4, 1}},
    {"middle", {2, 3, 4}, {2, 1, 4}},
    {"alternating", {2, 3, 2, 2}, {3, 1, 2}},
    {"ones", {2, 3}, {1, 1}},
    {"long_row", {3001, 37}, {37}},
    {"long_column", {301, 203}, {301, 1}},
    {"long_scalar", {70001}, {}},
};

}  // namespace

std::vector<OpCase> reduction_cases() {
  std::vector<OpCase> cases;
  for (const char* op : {"Sum", "Mean", "Max", "Min"}) {
    for (const Axes& axes : kAxes) {
      for (const bool keep_dims : {false, true}) {
        cases.push_back({op,
                         axes.label + std::string(keep_dims ? "_kept" : ""),
                         {real(axes.shape)},
                         {{"axes", axes.axes}, {"keep_dims", keep_dims}}});
        cases.back().check_gradient = axes.shape.elements() <= 64;
        // Sums of numbers around zero: what matters is the error against the numbers, not against
        // their small sum.
        cases.back().tolerance_f32 = 1e-5;
      }
    }
    cases.push_back({op,
                     "bf16",
                     {fixed(DType::kBFloat16, {9, 35}, -2, 2)},
                     {{"axes", Ints{0}}, {"keep_dims", false}}});
    cases.back().tolerance_f32 = 0.008;
  }
  for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8}) {
    cases.push_back({"Sum",
                     std::string(name(dtype)),
                     {fixed(dtype, {7, 5}, 0, 3)},
                     {{"axes", Ints{0}}, {"keep_dims", false}}});
    cases.push_back({"Max",
                     std::string(name(dtype)),
                     {fixed(dtype, {7, 5}, 0, 9)},
                     {{"axes", Ints{1}}, {"keep_dims", false}}});
    cases.push_back({"Min",
                     std::string(name(dtype)),
                     {fixed(dtype, {7, 5}, 0, 9)},
                     {{"axes", Ints{1}}, {"keep_dims", false}}});
    cases.push_back({"Prod",
                     std::string(name(dtype)),
                     {fixed(dtype, {71, 5}, 1, 99)},  // overflows
                     {{"axes", Ints{0}}, {"keep_dims", false}}});
    for (const char* op : {"ArgMax", "ArgMin"}) {
      cases.push_back(
          {op, std::string(name(dtype)), {fixed(dtype, {7, 5}, 0, 3)}, {{"axis", int64_t{1}}}});
    }
  }
  cases.push_back(
      {"Sum", "empty_to_zero", {real({0, 3})}, {{"axes", Ints{0}}, {"keep_dims", false}}});
  cases.push_back(
      {"Sum", "empty_outputs", {real({3, 0})}, {{"axes", Ints{0}}, {"keep_dims", false}}});
  for (const char* op : {"ArgMax", "ArgMin"}) {
    cases.push_back({op, "last", {real({6, 10})}, {{"axis", int64_t{1}}}});
    cases.push_back({op, "first", {real({6, 10})}, {{"axis", int64_t{0}}}});
    cases.push_back({op, "long", {real({301, 203})}, {{"axis", int64_t{1}}}});
  }
  // Of numbers around 1, so that long products stay numbers.
  for (const Axes& axes : kAxes) {
    for (const bool keep_dims : {false, true}) {
      const bool is_small = axes.shape.elements() <= 64;
      const double spread = is_small ? 0.5 : 1e-3;
      cases.push_back({"Prod",
                       axes.label + std::string(keep_dims ? "_kept" : ""),
                       {real(axes.shape, 1 - spread, 1 + spread)},
                       {{"axes", axes.axes}, {"keep_dims", keep_dims}}});
      cases.back().check_gradient = is_small;
      // Each rounding is relative to the product, and is the same way for many.
      cases.back().tolerance_f32 = is_small ? 1e-5 : 1e-3;
      cases.back().tolerance_f64 = is_small ? 1e-11 : 1e-10;
      cases.back().tolerance_small = 0.05;
    }
  }
  for (const char* op : {"Min", "Max", "Prod"}) {
    cases.push_back({op, "of_nothing", {real({0, 3})}, {{"axes", Ints{0}}, {"keep_dims", false}}});
    cases.back().check_gradient = false;
  }
  for (const Pair& pair : kPairs) {
    for (const bool average : {false, true}) {
      const std::string label = pair.label + std::string(average ? "_average" : "");
      const bool is_small = pair.whole.elements() <= 64;
      cases.push_back(
          {"SumLike", label, {real(pair.whole), real(pair.part)}, {{"average", average}}});
      cases.back().check_gradient = is_small;
      cases.push_back(
          {"BroadcastLike", label, {real(pair.part), real(pair.whole)}, {{"average", average}}});
      cases.back().check_gradient = is_small;
    }
    cases.push_back({"BroadcastTo",
                     pair.label,
                     {real(pair.part)},
                     {{"shape", Ints(pair.whole.begin(), pair.whole.end())}}});
    cases.back().check_gradient = pair.whole.elements() <= 64;
  }
  // -1: as the input has it.
  cases.push_back({"BroadcastTo", "kept_axes", {real({3, 1, 2})}, {{"shape", Ints{4, -1, 5, -1}}}});
  for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    cases.push_back({"BroadcastTo",
                     std::string(name(dtype)),
                     {fixed(dtype, {3, 1}, 0, 2)},
                     {{"shape", Ints{2, 3, 4}}}});
  }
  return cases;
}

}  // namespace trireme::testing
