#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Matrices {
  const char* label;
  Shape a, b;  // as they are without transposition
};

// Small ones are differentiated; the rest are there for how kernels cut work up.
const Matrices kMatrices[] = {
    {"ones", {1, 1}, {1, 1}},
    {"row", {1, 3}, {3, 4}},
    {"column", {4, 3}, {3, 1}},
    {"odd", {3, 5}, {5, 2}},
    {"batched", {2, 3, 2}, {2, 2, 3}},
    {"many_by_one", {2, 2, 3}, {3, 2}},
    {"one_by_many", {2, 3}, {3, 3, 2}},
    {"broadcast_one", {1, 2, 3}, {2, 3, 2}},
    {"broadcast_both", {2, 1, 2, 2}, {3, 2, 2}},
    {"wide", {37, 129}, {129, 65}},
    {"tall", {301, 17}, {17, 19}},
    {"long_inner", {7, 3001}, {3001, 5}},
    {"long_sum", {71, 2050}, {2050, 66}},
    {"long_batches", {33, 21, 19}, {33, 19, 17}},
    {"long_many_by_one", {9, 31, 47}, {47, 33}},
    {"dense_layer", {128, 400}, {400, 120}},
    {"large_right", {17, 1030}, {1030, 1021}},
};

Shape swapped(Shape shape) {
  const int n = shape.rank();
  const int64_t last = shape[n - 1];
  shape.set(n - 1, shape[n - 2]);
  shape.set(n - 2, last);
  return shape;
}

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  const char* const activations[] = {"none", "relu", "sigmoid", "tanh"};
  int count = 0;
  for (const Matrices& m : kMatrices) {
    const bool small = m.a.elements() + m.b.elements() <= 40;
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const std::string label = m.label + std::string(ta ? "_ta" : "") + (tb ? "_tb" : "");
        const Shape a = ta ? swapped(m.a) : m.a, b = tb ? swapped(m.b) : m.b;
        OpCase matmul{
            "MatMul", label, {real(a), real(b)}, {{"transpose_a", ta}, {"transpose_b", tb}}};
        matmul.tolerance_f32 = small ? 1e-5 : 2e-4;  // sums of many products, in another order
        matmul.check_gradient = small;
        cases.push_back(matmul);
        OpCase fused = matmul;
        fused.op = "FusedMatMul";
        fused.inputs.push_back(real({m.b.dim(-1)}));
        fused.attributes.set("activation", std::string(activations[count++ % 4]));
        fused.check_gradient = false;
        cases.push_back(fused);
        for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
          OpCase wide = matmul;
          wide.op = "WideMatMul";
          wide.label += dtype == DType::kBFloat16 ? "_bf16" : "_f16";
          wide.inputs = {fixed(dtype, a, -2, 2), fixed(dtype, b, -2, 2)};
          wide.check_gradient = false;
          cases.push_back(wide);
        }
      }
    }
  }
  for (const Shape& x : {Shape{3}, Shape{2, 3}, Shape{2, 1, 3}, Shape{2, 2, 2, 3}, Shape{1, 1}}) {
    cases.push_back({"BiasAdd", str_cat("rank_", x.rank()), {real(x), real({x.dim(-1)})}});
  }
  for (const Shape& x : {Shape{301, 37}, Shape{4, 33, 35, 6}, Shape{3001, 16}}) {
    cases.push_back({"BiasAdd", "long", {real(x), real({x.dim(-1)})}});
    cases.back().check_gradient = false;
  }
  return cases;
}

}  // namespace trireme::testing
