// Batch normalisation (Ioffe and Szegedy 2015) with the statistics of the batch at hand.
//
// Its other form, with stored statistics, is plain arithmetic and needs no op.
#include "core/base/error.h"
#include "core/graph/cross_batch_context.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"

namespace trireme {
namespace {

DType statistics_dtype(DType x) {
  return x == DType::kFloat16 || x == DType::kBFloat16 ? DType::kFloat32 : x;
}

ops::Axes all_but_last(const Shape& shape) {
  ops::Axes axes;
  for (int i = 0; i + 1 < shape.rank(); ++i) axes.push_back(i);
  return axes;
}

// Statistics, scale and offset of 16-bit floats are f32; else they are of x's dtype.
void require_statistics(const InferenceContext& c, int x, int first) {
  const DType dtype = statistics_dtype(c.dtype(x));
  for (int i = first; i < c.input_count(); ++i) {
    c.require(c.dtype(i) == dtype, str_cat("scale, offset and statistics of ", name(dtype)));
    c.require(compatible(c.shape(i), c.shape(x).last(1)),
              str_cat("scale, offset and statistics of shape ", c.shape(x).last(1)));
  }
}

// y = (x − mean) / √(variance + epsilon) · scale + offset, over all axes but the last.
// x: [..., c] floating, of rank 2 or more; scale, offset: [c], f32 where x is f16 or bf16. Outputs:
// y of x's dtype, and the mean and biased variance [c] of scale's.
OpDef batch_norm() {
  return {
      .name = "BatchNorm",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes = {attribute<double>("epsilon").in(above(0))},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require(c.shape(0).rank() >= 2, "an input of rank 2 or more");
        require_statistics(c, 0, 1);
        return {c.input(0), c.input(1), c.input(1)};
      },
      .gradient =
          [](GradientContext& g) {
            const Value x = g.input(0), mean = g.output(1), variance = g.output(2);
            const Value wide_x = ops::cast(x, mean.dtype());
            Value dx;
            const auto add_to_dx = [&](Value v) { dx = dx.defined() ? dx + v : v; };
            if (g.has_grad_of_output(0)) {
              Node& grad = g.graph().add("BatchNormGrad",
                                         {g.grad_of_output(0), x, g.input(1), mean, variance},
                                         {{"epsilon", g.attribute<double>("epsilon")}});
              dx = grad.output(0);
              g.set_grad(1, grad.output(1));
              g.set_grad(2, grad.output(2));
            }
            // The statistics depend on x as well; this matters when BatchNormGrad is
            // differentiated.
            if (g.has_grad_of_output(1)) {
              add_to_dx(
                  ops::cast(ops::broadcast_like(g.grad_of_output(1), wide_x, true), x.dtype()));
            }
            if (g.has_grad_of_output(2)) {
              const Value spread = ops::broadcast_like(g.grad_of_output(2), wide_x, true);
              add_to_dx(ops::cast((spread + spread) * (wide_x - mean), x.dtype()));
            }
            g.set_grad(0, dx);
          },
      // Plain arithmetic, whose gradient goes through the means to all parts of the batch.
      .cross_batch =
          [](CrossBatchContext& c) {
            // Of 16 bits in mixed precision: the statistics are f32.
            const Value given = c.input(0), x = ops::cast(given, c.input(1).dtype());
            const ops::Axes axes = all_but_last(x.shape());
            const Value mean = c.batch_mean(ops::mean(x, axes), "mean");
            const Value centred = x - mean;
            const Value variance = c.batch_mean(ops::mean(ops::square(centred), axes), "variance");
            const Value epsilon = ops::fill_like(variance, c.attribute<double>("epsilon"));
            const Value factor = c.input(1) * ops::rsqrt(variance + epsilon);
            c.set_output(0, ops::cast(centred * factor + c.input(2), given.dtype()));
            c.set_output(1, mean);
            c.set_output(2, variance);
          },
      // mean, variance, factor = BatchNormStatistics(x, scale);  y = (x − mean) · factor + offset,
      // computed in f32 for 16-bit floats.
      .split = [](const Node& node, std::span<const Value> inputs) -> std::vector<Value> {
        const Value x = inputs[0];
        Node& statistics =
            x.graph().add("BatchNormStatistics", {x, inputs[1]}, node.attributes(), "statistics");
        const Value mean = statistics.output(0), factor = statistics.output(2);
        const Value y = (ops::cast(x, mean.dtype()) - mean) * factor + inputs[2];
        return {ops::cast(y, x.dtype()), mean, statistics.output(1)};
      },
      .traits = {.precision = PrecisionClass::kNormalise, .has_small_by_f32 = true},
  };
}

// What BatchNorm takes of the whole batch; the rest of it is elementwise, and can be one kernel
// with what follows. Made by a pass after differentiation, so it has no gradient. x: [..., c];
// scale: [c], as BatchNorm. Outputs: mean, biased variance and factor = scale / √(variance +
// epsilon), each [c] of scale's dtype.
OpDef batch_norm_statistics() {
  return {
      .name = "BatchNormStatistics",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<double>("epsilon").in(above(0))},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require(c.shape(0).rank() >= 2, "an input of rank 2 or more");
        require_statistics(c, 0, 1);
        return {c.input(1), c.input(1), c.input(1)};
      },
      .traits = {.has_small_by_f32 = true},
  };
}

// The gradient of BatchNorm's y, with the statistics of the forward pass.
// dy, x: [..., c]; scale, mean, variance: [c], f32 where x is f16 or bf16. Outputs: dx [..., c],
// dscale [c], doffset [c]:
//   x̂ = (x − mean)·r, r = 1/√(variance + epsilon); dscale = Σ dy·x̂; doffset = Σ dy;
//   dx = scale·r·(dy − Σdy/n − x̂·Σ(dy·x̂)/n).
OpDef batch_norm_grad() {
  return {
      .name = "BatchNormGrad",
      .min_inputs = 5,
      .max_inputs = 5,
      .attributes = {attribute<double>("epsilon").in(above(0))},
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require(c.shape(1).rank() >= 2 && c.dtype(0) == c.dtype(1) &&
                      compatible(c.shape(0), c.shape(1)),
                  "a gradient of the input's type");
        require_statistics(c, 1, 2);
        return {c.input(1), c.input(2), c.input(2)};
      },
      .gradient =
          [](GradientContext& g) {
            const Value scale = g.input(2), mean = g.input(3);
            const Value dy = ops::cast(g.input(0), scale.dtype()),
                        x = ops::cast(g.input(1), scale.dtype());
            const auto upstream = [&](int i) {
              return ops::cast(
                  g.has_grad_of_output(i) ? g.grad_of_output(i) : ops::zeros_like(g.output(i)),
                  scale.dtype());
            };
            const Value u = upstream(0), v = upstream(1), w = upstream(2);
            const Value epsilon = ops::fill_like(g.input(4), g.attribute<double>("epsilon"));
            const Value r = ops::rsqrt(g.input(4) + epsilon);
            const Value centred = x - mean;
            const Value x_hat = centred * r;
            const ops::Axes axes = all_but_last(x.shape());
            const Value scaled_r = scale * r;
            // With a = Σdy/n, b = Σ(dy·x̂)/n the op's outputs, weighted by their gradients, add up
            // to, a channel,
            //   scale·r·k + v·Σ(dy·x̂) + w·Σdy   where   k = Σ(u·dy) − a·Σu − b·Σ(u·x̂);
            // what follows are the partial derivatives of that.
            const Value mean_u = ops::mean(u, axes), mean_ux = ops::mean(u * x_hat, axes);
            const Value b = ops::mean(dy * x_hat, axes);
            const Value k = ops::sum(u * dy, axes) - ops::sum(dy, axes) * mean_u -
                            ops::sum(dy * x_hat, axes) * mean_ux;
            const DType dtype = g.input(1).dtype();
            g.set_grad(0,
                       ops::cast(scaled_r * (u - mean_u - x_hat * mean_ux) + v * x_hat + w, dtype));
            const Value d_x_hat = v * dy - scaled_r * (b * u + mean_ux * dy);
            g.set_grad(1, ops::cast(d_x_hat * r, dtype));
            g.set_grad(2, r * k);
            g.set_grad(3, ops::negate(r * ops::sum(d_x_hat, axes)));
            const Value d_r = scale * k + ops::sum(d_x_hat * centred, axes);
            g.set_grad(4, d_r * r * r * r * ops::fill_like(r, -0.5));
          },
      .traits = {.has_small_by_f32 = true},
  };
}

}  // namespace

void register_normalization_ops(OpTable& table) {
  table.add(batch_norm());
  table.add(batch_norm_statistics());
  table.add(batch_norm_grad());
}

namespace ops {

BatchNormOutputs batch_norm(Value x, Value scale, Value offset, double epsilon) {
  if (!(epsilon > 0)) throw invalid_argument("BatchNorm: epsilon must be above 0, found ", epsilon);
  Node& node = x.graph().add("BatchNorm", {x, scale, offset}, {{"epsilon", epsilon}});
  return {node.output(0), node.output(1), node.output(2)};
}

}  // namespace ops
}  // namespace trireme
