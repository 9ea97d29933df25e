// Linear algebra: matrix products and biases.
#include "core/base/error.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"

namespace trireme {
namespace {

// The shape of a·b: leading dimensions broadcast, the last two multiply.
Shape matmul_shape(const InferenceContext& c) {
  const Shape &a = c.shape(0), &b = c.shape(1);
  c.require(a.rank() >= 2 && b.rank() >= 2, "matrices of rank 2 or more");
  const bool ta = c.attribute<bool>("transpose_a"), tb = c.attribute<bool>("transpose_b");
  const int64_t inner_a = a.dim(ta ? -2 : -1), inner_b = b.dim(tb ? -1 : -2);
  c.require(inner_a == inner_b || inner_a < 0 || inner_b < 0,
            str_cat("equal inner dimensions, not ", inner_a, " and ", inner_b));
  Shape y = broadcast(a.first(a.rank() - 2), b.first(b.rank() - 2));
  y.push_back(a.dim(ta ? -1 : -2));
  y.push_back(b.dim(tb ? -2 : -1));
  return y;
}

void require_bias(const InferenceContext& c, const Shape& y, const Shape& bias) {
  c.require(bias.rank() == 1 && compatible(y.last(1), bias),
            str_cat("a bias [", y.dim(-1), "] as long as the last axis, not ", bias));
}

// Both leading shapes are known and equal, so that a gradient needs no summing.
bool same_leading(const Shape& a, const Shape& y) {
  return a.rank() == y.rank() && a.first(a.rank() - 2).is_known() &&
         a.first(a.rank() - 2) == y.first(y.rank() - 2);
}

// Matrix product of the last two axes; leading axes broadcast as in NumPy.
// a: [..., m, k] ([..., k, m] with transpose_a); b: [..., k, n] ([..., n, k] with transpose_b);
// floating. y: [..., m, n].
OpDef matmul() {
  return {
      .name = "MatMul",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<bool>("transpose_a"), attribute<bool>("transpose_b")},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        return {{c.dtype(0), matmul_shape(c)}};
      },
      .gradient =
          [](GradientContext& g) {
            const Value a = g.input(0), b = g.input(1), dy = g.grad_of_output();
            const bool ta = g.attribute<bool>("transpose_a"), tb = g.attribute<bool>("transpose_b");
            Value da = ta ? ops::matmul(b, dy, tb, true) : ops::matmul(dy, b, false, !tb);
            if (!same_leading(a.shape(), dy.shape())) da = ops::sum_like(da, a);
            g.set_grad(0, da);
            if (!ta && b.shape().rank() == 2 && a.shape().rank() > 2) {
              // One product over all rows, instead of one for each matrix and a sum of those.
              const Value rows = ops::reshape(a, {-1, a.shape().dim(-1)});
              const Value dy_rows = ops::reshape(dy, {-1, dy.shape().dim(-1)});
              g.set_grad(1, tb ? ops::matmul(dy_rows, rows, true, false)
                               : ops::matmul(rows, dy_rows, true, false));
              return;
            }
            Value db = tb ? ops::matmul(dy, a, true, ta) : ops::matmul(a, dy, !ta, false);
            if (!same_leading(b.shape(), dy.shape())) db = ops::sum_like(db, b);
            g.set_grad(1, db);
          },
      .traits = {.precision = PrecisionClass::kProduct,
                 .has_small_by_f32 = true,
                 .wide_form = "WideMatMul"},
  };
}

// MatMul of 16-bit floats whose sums are f32 and stay so; made by a pass from MatMul and Cast, so
// it has no gradient. a, b: as MatMul, f16 or bf16. y: [..., m, n] f32.
OpDef wide_matmul() {
  return {
      .name = "WideMatMul",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<bool>("transpose_a"), attribute<bool>("transpose_b")},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require(c.dtype(0) == DType::kFloat16 || c.dtype(0) == DType::kBFloat16, "f16 or bf16");
        c.require_same_dtype();
        return {{DType::kFloat32, matmul_shape(c)}};
      },
  };
}

// x plus a bias along the last axis. x: [..., n]; bias: [n].
OpDef bias_add() {
  return {
      .name = "BiasAdd",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        c.require(c.shape(0).rank() >= 1, "an input of rank 1 or more");
        require_bias(c, c.shape(0), c.shape(1));
        return {c.input(0)};
      },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, g.grad_of_output());
            ops::Axes axes;
            for (int i = 0; i + 1 < g.input(0).shape().rank(); ++i) axes.push_back(i);
            g.set_grad(1, axes.empty() ? g.grad_of_output() : ops::sum(g.grad_of_output(), axes));
          },
      .traits = {.in_place_inputs = {0},
                 .is_elementwise = true,
                 .precision = PrecisionClass::kFollow,
                 .has_small_by_f32 = true},
      .formula = {.real = "a + b"},
  };
}

// activation(a·b + bias) in one kernel; made by the fusion pass after differentiation, so it has no
// gradient. a, b: as MatMul; bias: [n]; activation: none, relu, sigmoid or tanh.
OpDef fused_matmul() {
  return {
      .name = "FusedMatMul",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes =
          {attribute<bool>("transpose_a"), attribute<bool>("transpose_b"),
           attribute<std::string>("activation").one_of({"none", "relu", "sigmoid", "tanh"})},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        const Shape y = matmul_shape(c);
        require_bias(c, y, c.shape(2));
        return {{c.dtype(0), y}};
      },
      .traits = {.precision = PrecisionClass::kProduct, .has_small_by_f32 = true},
  };
}

}  // namespace

void register_linear_ops(OpTable& table) {
  table.add(matmul());
  table.add(wide_matmul());
  table.add(bias_add());
  table.add(fused_matmul());
}

namespace ops {

Value matmul(Value a, Value b, bool transpose_a, bool transpose_b) {
  return a.graph()
      .add("MatMul", {a, b}, {{"transpose_a", transpose_a}, {"transpose_b", transpose_b}})
      .output();
}

Value bias_add(Value x, Value bias) { return x.graph().add("BiasAdd", {x, bias}).output(); }

}  // namespace ops
}  // namespace trireme
