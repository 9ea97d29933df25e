#include "core/nn/normalization_layers.h"

#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/ops/layer_norm.h"

namespace trireme::nn {
namespace {

// The shape of what a normalisation keeps for each channel.
Shape channels_of(BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() >= 2 && x.shape().dim(-1) > 0,
                  "a known number of channels [batch, …, channels]");
  return {x.shape().dim(-1)};
}

void describe_epsilon(OptionVisitor& visitor, std::string_view help, double& epsilon) {
  visitor.field({.name = "epsilon", .help = help, .range = above(0)}, epsilon);
}

// What a layer with gamma and beta has of them.
template <typename Options>
void describe_gamma_and_beta(OptionVisitor& visitor, Options& o) {
  visitor.field({.name = "center", .help = "adds beta"}, o.center);
  visitor.field({.name = "scale", .help = "multiplies by gamma"}, o.scale);
  nn::describe(visitor, {.name = "beta_initializer", .help = "first values of beta"},
               o.beta_initializer);
  nn::describe(visitor, {.name = "gamma_initializer", .help = "first values of gamma"},
               o.gamma_initializer);
}

// Undefined where the layer has none.
template <typename Options>
Value gamma_of(BuildContext& context, const Options& o, const Shape& shape) {
  return o.scale ? context.variable("gamma", shape, o.gamma_initializer) : Value();
}
template <typename Options>
Value beta_of(BuildContext& context, const Options& o, const Shape& shape) {
  return o.center ? context.variable("beta", shape, o.beta_initializer) : Value();
}

Value filled(BuildContext& context, const Shape& shape, float value) {
  Tensor tensor(DType::kFloat32, shape);
  for (float& x : tensor.flat<float>()) x = value;
  return ops::constant(context.graph(), tensor);
}

Value scalar(BuildContext& context, double value) {
  return ops::scalar(context.graph(), DType::kFloat32, value);
}

Value scale_and_shift(Value y, Value gamma, Value beta) {
  if (gamma.defined()) y = y * gamma;
  return beta.defined() ? y + beta : y;
}

}  // namespace

void BatchNormOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "momentum",
                 .help = "of the moving averages: what a step keeps of them",
                 .range = from_to(0, 1)},
                momentum);
  describe_epsilon(visitor, "added to the variance", epsilon);
  describe_gamma_and_beta(visitor, *this);
  nn::describe(visitor,
               {.name = "moving_mean_initializer", .help = "first values of the moving mean"},
               moving_mean_initializer);
  nn::describe(
      visitor,
      {.name = "moving_variance_initializer", .help = "first values of the moving variance"},
      moving_variance_initializer);
}

Value BatchNorm::call(BuildContext& context, Value x) {
  const auto& o = options_;
  const Shape shape = channels_of(context, x);
  const Value gamma = gamma_of(context, o, shape), beta = beta_of(context, o, shape);
  const Value mean = context.variable("moving_mean", shape, o.moving_mean_initializer, {}, false);
  const Value variance =
      context.variable("moving_variance", shape, o.moving_variance_initializer, {}, false);
  if (context.training() && context.trains("gamma")) {
    auto batch = ops::batch_norm(x, gamma.defined() ? gamma : filled(context, shape, 1),
                                 beta.defined() ? beta : filled(context, shape, 0), o.epsilon);
    context.add_moving_average(mean, batch.mean, o.momentum);
    context.add_moving_average(variance, batch.variance, o.momentum);
    return batch.y;
  }
  // Everything but the last two operations is of the channels' size, not the images'.
  Value scale = ops::rsqrt(variance + scalar(context, o.epsilon));
  if (gamma.defined()) scale = gamma * scale;
  const Value shift = mean * scale;
  return x * scale + (beta.defined() ? beta - shift : -shift);
}

void LayerNormOptions::describe(OptionVisitor& visitor) {
  describe_epsilon(visitor, "added to the variance", epsilon);
  describe_gamma_and_beta(visitor, *this);
}

Value LayerNorm::call(BuildContext& context, Value x) {
  const Shape shape = channels_of(context, x);
  const Value gamma = gamma_of(context, options_, shape), beta = beta_of(context, options_, shape);
  return ops::layer_norm(x, gamma.defined() ? gamma : filled(context, shape, 1),
                         beta.defined() ? beta : filled(context, shape, 0), options_.epsilon);
}

void GroupNormOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "groups",
                 .help = "equal parts of the channels; -1: each channel is one",
                 .range = at_least(-1)},
                groups);
  describe_epsilon(visitor, "added to the variance", epsilon);
  describe_gamma_and_beta(visitor, *this);
}

void GroupNormOptions::check() const {
  if (groups == 0)
    throw invalid_argument("group_norm: groups: expected at least 1, or -1, found 0");
}

Value GroupNorm::call(BuildContext& context, Value x) {
  const Shape shape = channels_of(context, x);
  const int64_t channels = shape[0];
  const int64_t groups = options_.groups < 0 ? channels : options_.groups;
  context.require(channels % groups == 0, str_cat("channels that divide into ", groups, " groups"));
  int64_t pixels = 1;
  for (int axis = 1; axis + 1 < x.shape().rank(); ++axis) {
    context.require(x.shape()[axis] > 0, "an input whose sizes are known but for the batch");
    pixels *= x.shape()[axis];
  }
  const Value gamma = gamma_of(context, options_, shape), beta = beta_of(context, options_, shape);
  const Value parts = ops::reshape(x, {-1, pixels, groups, channels / groups});
  const Value centered = parts - ops::mean(parts, {1, 3}, true);
  const Value variance = ops::mean(ops::square(centered), {1, 3}, true);
  const Value y = centered * ops::rsqrt(variance + scalar(context, options_.epsilon));
  Shape back = x.shape();
  back.set(0, -1);
  return scale_and_shift(ops::reshape(y, back), gamma, beta);
}

void RmsNormOptions::describe(OptionVisitor& visitor) {
  describe_epsilon(visitor, "added to the mean of the squares", epsilon);
}

Value RmsNorm::call(BuildContext& context, Value x) {
  const Shape shape = channels_of(context, x);
  const Value scale = context.variable("scale", shape, ones());
  const Value squares = ops::mean(ops::square(x), {-1}, true);
  return x * ops::rsqrt(squares + scalar(context, options_.epsilon)) * scale;
}

void UnitNormOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "axis",
                 .help = "along which the vectors lie; the batch is axis 0, and negative ones are "
                         "from the last"},
                axis);
}

Value UnitNorm::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const int rank = x.shape().rank();
  const int64_t axis = options_.axis < 0 ? options_.axis + rank : options_.axis;
  context.require(axis >= 0 && axis < rank, str_cat("an input that has axis ", options_.axis));
  const Value length = ops::sum(ops::square(x), {axis}, true);
  constexpr double kLeastSquare = 1e-24;
  return x * ops::rsqrt(ops::maximum(length, scalar(context, kLeastSquare)));
}

}  // namespace trireme::nn
