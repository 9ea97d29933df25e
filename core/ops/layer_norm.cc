// Layer normalisation (Ba et al. 2016), over the last axis.
#include "core/ops/layer_norm.h"

#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

DType sums_dtype(DType x) {
  return x == DType::kFloat16 || x == DType::kBFloat16 ? DType::kFloat32 : x;
}

ops::Axes all_but_last(const Shape& shape) {
  ops::Axes axes;
  for (int i = 0; i + 1 < shape.rank(); ++i) axes.push_back(i);
  return axes;
}

Value wide(Value x) { return ops::cast(x, sums_dtype(x.dtype())); }
Value last_mean(Value x) { return ops::mean(x, {-1}, true); }
Value last_sum(Value x) { return ops::sum(x, {-1}, false); }
// A number for each row, beside the rows.
Value by_row(Value x) { return ops::expand_dims(x, {-1}); }

// `x`: the input that is normalised; gamma, and from `first` on what is as long as a row.
void require_rows(const InferenceContext& c, int x, std::initializer_list<int> channels) {
  c.require_floating(x);
  const Shape& shape = c.shape(x);
  c.require(shape.rank() >= 1 && shape.dim(-1) != 0, "rows of at least one number");
  for (int i : channels) {
    c.require(c.dtype(i) == sums_dtype(c.dtype(x)) && compatible(c.shape(i), shape.last(1)),
              str_cat("gamma and beta ", name(sums_dtype(c.dtype(x))), shape.last(1)));
  }
}

TensorType number_a_row(const InferenceContext& c, int x) {
  return {sums_dtype(c.dtype(x)), c.shape(x).first(c.shape(x).rank() - 1)};
}

// y = (x − mean)·r·gamma + beta, r = 1/√(variance + epsilon), each of a row of x.
// x: [..., c] floating; gamma, beta: [c], f32 where x is f16 or bf16. Outputs: y of x's type; mean
// and r [...] of gamma's dtype.
OpDef layer_norm_op() {
  return {
      .name = "LayerNorm",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes = {attribute<double>("epsilon").in(above(0))},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        require_rows(c, 0, {1, 2});
        return {c.input(0), number_a_row(c, 0), number_a_row(c, 0)};
      },
      .gradient =
          [](GradientContext& g) {
            const Value x = g.input(0);
            Value dx;
            const auto add_to_dx = [&](Value v) { dx = dx.defined() ? dx + v : v; };
            if (g.has_grad_of_output(0)) {
              Node& grad =
                  g.graph().add("LayerNormGrad",
                                {g.grad_of_output(0), x, g.input(1), g.output(1), g.output(2)}, {});
              dx = grad.output(0);
              g.set_grad(1, grad.output(1));
              g.set_grad(2, grad.output(2));
            }
            // mean and r depend on x as well; this matters when LayerNormGrad is differentiated.
            if (g.has_grad_of_output(1)) {
              add_to_dx(ops::cast(ops::broadcast_like(by_row(g.grad_of_output(1)), wide(x), true),
                                  x.dtype()));
            }
            if (g.has_grad_of_output(2)) {
              const Value r = g.output(2);
              const Value slope = by_row(ops::negate(g.grad_of_output(2) * r * r * r));
              add_to_dx(ops::cast(
                  ops::broadcast_like(slope, wide(x), true) * (wide(x) - by_row(g.output(1))),
                  x.dtype()));
            }
            g.set_grad(0, dx);
          },
      .traits = {.precision = PrecisionClass::kNormalise, .has_small_by_f32 = true},
  };
}

// The gradient of LayerNorm's y. dy, x: [..., c]; gamma: [c], f32 where x is f16 or bf16; mean, r:
// [...]. Outputs: dx of x's type; dgamma, dbeta [c] of gamma's:
//   x̂ = (x − mean)·r; g = dy·gamma; dx = r·(g − Σg/c − x̂·Σ(g·x̂)/c); dgamma = Σ dy·x̂; dbeta = Σ dy.
OpDef layer_norm_grad_op() {
  return {
      .name = "LayerNormGrad",
      .min_inputs = 5,
      .max_inputs = 5,
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        require_rows(c, 1, {2});
        c.require(c.dtype(0) == c.dtype(1) && compatible(c.shape(0), c.shape(1)),
                  "a gradient of the input's type");
        const TensorType row = number_a_row(c, 1);
        for (int i : {3, 4}) {
          c.require(c.dtype(i) == row.dtype && compatible(c.shape(i), row.shape),
                    "the mean and r of each row");
        }
        return {c.input(1), c.input(2), c.input(2)};
      },
      .gradient =
          [](GradientContext& g) {
            const Value dy = wide(g.input(0)), x = wide(g.input(1)), gamma = g.input(2),
                        mean = by_row(g.input(3)), r = by_row(g.input(4));
            const auto upstream = [&](int i) {
              return g.has_grad_of_output(i) ? wide(g.grad_of_output(i))
                                             : ops::zeros_like(wide(g.output(i)));
            };
            const Value u = upstream(0), v = upstream(1), w = upstream(2);
            const Value centred = x - mean;
            const Value x_hat = centred * r, grad = dy * gamma;
            const Value mean_g = last_mean(grad), mean_gx = last_mean(grad * x_hat);
            const Value mean_u = last_mean(u), mean_ux = last_mean(u * x_hat);
            // Partial derivatives of Σ u·dx + Σ v·dgamma + Σ w·dbeta.
            const Value of_g = (u - mean_u - x_hat * mean_ux) * r;
            const Value of_x_hat = v * dy - (u * mean_gx + grad * mean_ux) * r;
            const DType dtype = g.input(1).dtype();
            g.set_grad(0, ops::cast(gamma * of_g + v * x_hat + w, dtype));
            g.set_grad(1, ops::cast(of_x_hat * r, dtype));
            const ops::Axes rows = all_but_last(x.shape());
            g.set_grad(2, rows.empty() ? dy * of_g : ops::sum(dy * of_g, rows));
            g.set_grad(3, last_sum(ops::negate(of_x_hat * r)));
            g.set_grad(4, last_sum(u * (grad - mean_g - x_hat * mean_gx) + of_x_hat * centred));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

}  // namespace

void register_layer_norm_ops(OpTable& table) {
  table.add(layer_norm_op());
  table.add(layer_norm_grad_op());
}

namespace ops {

Value layer_norm(Value x, Value gamma, Value beta, double epsilon) {
  return build("LayerNorm", {x, gamma, beta}, {{"epsilon", epsilon}});
}

}  // namespace ops
}  // namespace trireme
