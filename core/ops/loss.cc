// Softmax, and the losses whose plain formula would overflow.
#include "core/base/error.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"

namespace trireme {
namespace {

std::vector<TensorType> infer_softmax(const InferenceContext& c) {
  c.require_floating();
  c.require(c.shape(0).rank() >= 1, "logits of rank 1 or more");
  return {c.input(0)};
}

// What a gradient `u` of p = softmax(x) is for x.
Value softmax_backward(Value p, Value u) { return p * (u - ops::sum(u * p, {-1}, true)); }

// e^x / Σe^x over the last axis. logits: [..., classes] floating.
OpDef softmax() {
  return {
      .name = "Softmax",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = infer_softmax,
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, softmax_backward(g.output(0), g.grad_of_output()));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

// x − log Σe^x over the last axis. logits: [..., classes] floating.
OpDef log_softmax() {
  return {
      .name = "LogSoftmax",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = infer_softmax,
      .gradient =
          [](GradientContext& g) {
            const Value u = g.grad_of_output();
            g.set_grad(0, u - ops::exp(g.output(0)) * ops::sum(u, {-1}, true));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

// Softmax over the last axis, then cross entropy against integer labels (Goodfellow et al.
// 2016, 6.2.2.3). logits: [batch, classes] floating; labels: [batch] i32|i64 in [0, classes), else
// the kernel throws naming the row. Outputs: loss [batch], and the probabilities minus the one-hot
// labels, which is the derivative of the loss.
OpDef sparse_softmax_cross_entropy() {
  return {
      .name = "SparseSoftmaxCrossEntropy",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require(c.shape(0).rank() == 2, "logits [batch, classes]");
        c.require(compatible(c.shape(1), c.shape(0).first(1)), "one label a row");
        c.require(c.shape(0)[1] != 0, "at least one class");
        return {{c.dtype(0), c.shape(0).first(1)}, c.input(0)};
      },
      .gradient =
          [](GradientContext& g) {
            Value dx;
            if (g.has_grad_of_output(0)) {
              dx = ops::expand_dims(g.grad_of_output(0), {-1}) * g.output(1);
            }
            // Present when the loss is differentiated twice: the derivative depends on the logits
            // as softmax does.
            if (g.has_grad_of_output(1)) {
              const Value second = softmax_backward(ops::softmax(g.input(0)), g.grad_of_output(1));
              dx = dx.defined() ? dx + second : second;
            }
            g.set_grad(0, dx);
          },
      .traits = {.index_inputs = {1}, .has_small_by_f32 = true},
  };
}

// Cross entropy of sigmoid(x) against probabilities z, elementwise: max(x, 0) − x·z + log(1 +
// e^−|x|), which does not overflow. logits, labels: of one shape and floating dtype.
OpDef sigmoid_cross_entropy() {
  return {
      .name = "SigmoidCrossEntropy",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        c.require(compatible(c.shape(0), c.shape(1)), "logits and labels of one shape");
        return {c.input(0)};
      },
      .gradient =
          [](GradientContext& g) {
            const Value u = g.grad_of_output();
            g.set_grad(0, u * (ops::sigmoid(g.input(0)) - g.input(1)));
            g.set_grad(1, ops::negate(u * g.input(0)));
          },
      .traits = {.in_place_inputs = {0, 1}, .is_elementwise = true, .has_small_by_f32 = true},
      .formula = {.real = "fmax(a, T(0)) - a * b + log1p(exp(-fabs(a)))"},
  };
}

}  // namespace

void register_loss_ops(OpTable& table) {
  table.add(softmax());
  table.add(log_softmax());
  table.add(sparse_softmax_cross_entropy());
  table.add(sigmoid_cross_entropy());
}

namespace ops {

Value softmax(Value logits) { return logits.graph().add("Softmax", {logits}).output(); }

Value log_softmax(Value logits) { return logits.graph().add("LogSoftmax", {logits}).output(); }

Value sparse_softmax_cross_entropy(Value logits, Value labels) {
  return logits.graph().add("SparseSoftmaxCrossEntropy", {logits, labels}).output();
}

Value sigmoid_cross_entropy(Value logits, Value labels) {
  return logits.graph().add("SigmoidCrossEntropy", {logits, labels}).output();
}

}  // namespace ops
}  // namespace trireme
