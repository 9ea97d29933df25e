#include "core/nn/noise_layers.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/layer_options.h"

namespace trireme::nn {
namespace {

Value number_like(Value x, double value) { return ops::scalar(x.graph(), x.dtype(), value); }

// Every channel of an example is dropped as a whole.
Value drop_channels(BuildContext& context, Value x, double rate) {
  if (!context.training() || rate == 0) return x;
  const auto rank = static_cast<size_t>(x.shape().rank());
  std::vector<int64_t> begin(rank, 0), size(rank, 1);
  size.front() = size.back() = -1;
  const Value one_each = ops::ones_like(ops::slice(x, begin, size));
  return x * ops::dropout(one_each, context.random_key(), rate, context.layer_seed());
}

}  // namespace

void RateOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "rate",
                 .help = "share of what is dropped while training",
                 .range = from_below(0, 1),
                 .default_text = "must be given"},
                rate);
}

void RateOptions::check() const {
  if (!rate) throw invalid_argument("rate: expected at least 0 and below 1, found none");
}

Value SpatialDropout1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return drop_channels(context, x, options_.rate.value());
}

Value SpatialDropout2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return drop_channels(context, x, options_.rate.value());
}

Value SpatialDropout3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  return drop_channels(context, x, options_.rate.value());
}

Value AlphaDropout::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const double rate = options_.rate.value();
  if (!context.training() || rate == 0) return x;
  constexpr double kAlpha = 1.6732632423543772, kScale = 1.0507009873554805;  // of SELU
  constexpr double kLowest = -kAlpha * kScale;
  const double factor = 1 / std::sqrt((1 - rate) * (1 + rate * kLowest * kLowest));
  const double offset = -factor * kLowest * rate;
  const Value drawn = ops::random_uniform(context.random_key(), x, context.layer_seed());
  const Value kept = ops::cast(ops::greater_equal(drawn, number_like(x, rate)), x.dtype());
  const Value lowest = (number_like(x, 1) - kept) * number_like(x, kLowest);
  return (x * kept + lowest) * number_like(x, factor) + number_like(x, offset);
}

Value GaussianDropout::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const double rate = options_.rate.value();
  if (!context.training() || rate == 0) return x;
  const Value drawn = ops::random_normal(context.random_key(), x, context.layer_seed());
  return x * (drawn * number_like(x, std::sqrt(rate / (1 - rate))) + number_like(x, 1));
}

void GaussianNoiseOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "stddev",
                 .help = "standard deviation of what is added while training",
                 .range = at_least(0),
                 .default_text = "must be given"},
                stddev);
}

void GaussianNoiseOptions::check() const {
  if (!stddev) throw invalid_argument("stddev: expected at least 0, found none");
}

Value GaussianNoise::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const double stddev = options_.stddev.value();
  if (!context.training() || stddev == 0) return x;
  const Value drawn = ops::random_normal(context.random_key(), x, context.layer_seed());
  return x + drawn * number_like(x, stddev);
}

}  // namespace trireme::nn
