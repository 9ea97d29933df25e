#include "core/nn/activation_layers.h"

#include "core/base/error.h"
#include "core/nn/layer_options.h"

namespace trireme::nn {
namespace {

Value number_like(Value x, double value) { return ops::scalar(x.graph(), x.dtype(), value); }

}  // namespace

void ReluOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "max_value",
                 .help = "the output is at most that",
                 .range = at_least(0),
                 .default_text = "no bound"},
                max_value);
  visitor.field({.name = "negative_slope", .help = "below the threshold", .range = at_least(0)},
                negative_slope);
  visitor.field({.name = "threshold", .help = "from which x is passed on", .range = at_least(0)},
                threshold);
}

Value Relu::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const auto& o = options_;
  Value y = ops::relu(x);
  if (o.threshold != 0) {
    y = x * ops::cast(ops::greater_equal(x, number_like(x, o.threshold)), x.dtype());
  }
  if (o.max_value) y = ops::minimum(y, number_like(x, *o.max_value));
  if (o.negative_slope == 0) return y;
  const Value below = o.threshold == 0 ? -x : number_like(x, o.threshold) - x;
  return y - ops::relu(below) * number_like(x, o.negative_slope);
}

void LeakyReluOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "negative_slope", .help = "below 0", .range = at_least(0)},
                negative_slope);
}

Value LeakyRelu::call(BuildContext& context, Value x) {
  require_floating(context, x);
  return ops::relu(x) - ops::relu(-x) * number_like(x, options_.negative_slope);
}

void PReluOptions::describe(OptionVisitor& visitor) {
  nn::describe(visitor, {.name = "alpha_initializer", .help = "first values of the slopes"},
               alpha_initializer);
  visitor.field({.name = "shared_axes",
                 .help = "along which one slope counts; 1 is the first axis behind the batch",
                 .range = at_least(1)},
                shared_axes);
}

Value PRelu::call(BuildContext& context, Value x) {
  require_floating(context, x);
  Shape shape = x.shape().last(x.shape().rank() - 1);
  for (const int64_t axis : options_.shared_axes) {
    context.require(axis <= shape.rank(), str_cat("an input that has axis ", axis, " to share"));
    shape.set(static_cast<int>(axis) - 1, 1);
  }
  context.require(shape.rank() >= 1 && shape.is_known(),
                  "an input whose sizes are known but for the batch and the shared axes");
  const Value alpha = context.variable("alpha", shape, options_.alpha_initializer);
  return ops::relu(x) - alpha * ops::relu(-x);
}

void EluOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "alpha", .help = "minus the limit below 0"}, alpha);
}

Value Elu::call(BuildContext& context, Value x) {
  require_floating(context, x);
  // e^x of what is above 0 may be infinite, and must not meet the gradient 0.
  const Value below = ops::expm1(ops::minimum(x, number_like(x, 0)));
  return ops::relu(x) + below * number_like(x, options_.alpha);
}

void SoftmaxOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "axis",
                 .help = "whose numbers add up to 1; the batch is axis 0, and negative ones are "
                         "from the last"},
                axis);
}

Value Softmax::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const int rank = x.shape().rank();
  const int64_t axis = options_.axis < 0 ? options_.axis + rank : options_.axis;
  context.require(axis >= 0 && axis < rank, str_cat("an input that has axis ", options_.axis));
  if (axis == rank - 1) return ops::softmax(x);
  ops::Axes order;
  for (int i = 0; i < rank; ++i) order.push_back(i);
  std::swap(order[static_cast<size_t>(axis)], order.back());
  return ops::transpose(ops::softmax(ops::transpose(x, order)), order);
}

}  // namespace trireme::nn
