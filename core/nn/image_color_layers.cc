#include "core/nn/image_color_layers.h"

#include "core/base/error.h"
#include "core/nn/image_draws.h"

namespace trireme::nn {
namespace {

// From black and white to 0 and 1, and back.
Value to_unit(Value x, const std::vector<double>& range) {
  return (x - number(x, range[0])) * number(x, 1 / (range[1] - range[0]));
}
Value from_unit(Value x, const std::vector<double>& range) {
  return x * number(x, range[1] - range[0]) + number(x, range[0]);
}

}  // namespace

void AutoContrastOptions::describe(OptionVisitor& visitor) {
  describe_value_range(visitor, value_range);
}
void AutoContrastOptions::check() const { check_value_range(value_range); }

Value AutoContrast::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  const Value high = ops::max(x, {1, 2}, true), low = -ops::max(-x, {1, 2}, true);
  const Value spread = high - low;
  // A channel of one value stays as it is.
  const Value flat = ops::equal(spread, number(x, 0));
  const Value stretched = (x - low) / ops::select(flat, ops::ones_like(spread), spread);
  return ops::select(flat, x, from_unit(stretched, options_.value_range));
}

void SolarizationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "addition_factor",
                 .help = "most that is added first, a share of the value range",
                 .range = from_to(0, 1)},
                addition_factor);
  visitor.field({.name = "threshold_factor",
                 .help = "highest threshold, a share of the value range",
                 .range = from_to(0, 1)},
                threshold_factor);
  describe_value_range(visitor, value_range);
}
void SolarizationOptions::check() const { check_value_range(value_range); }

Value Solarization::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value more =
      ops::cast(beside_images(draws.uniform({0, options_.addition_factor})), x.dtype());
  const Value threshold =
      ops::cast(beside_images(draws.uniform({0, options_.threshold_factor})), x.dtype());
  const Value y = clipped(to_unit(x, options_.value_range) + more, {0, 1});
  const Value solarized = ops::select(ops::less(y, threshold), y, number(y, 1) - y);
  return from_unit(solarized, options_.value_range);
}

void RandomPosterizationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "factor",
                 .help = "bits of 8 that are left",
                 .range = from_to(1, 8),
                 .default_text = "must be given"},
                factor);
  describe_value_range(visitor, value_range);
}
void RandomPosterizationOptions::check() const { check_value_range(value_range); }

Value RandomPosterization::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  const auto& range = options_.value_range;
  const Value levels = clipped(to_unit(x, range) * number(x, 255), {0, 255});
  const Value step = number(x, static_cast<double>(int64_t{1} << (8 - options_.factor)));
  // A cast to whole numbers cuts off, and so does a u8 in the place of a pixel.
  const auto cut = [](Value v) { return ops::cast(ops::cast(v, DType::kInt32), v.dtype()); };
  return from_unit(cut(cut(levels) / step) * step * number(x, 1.0 / 255), range);
}

void RandomColorDegenerationOptions::describe(OptionVisitor& visitor) {
  visitor.field(
      {.name = "factor", .help = "the lowest and the highest, from 0 to 1", .range = from_to(0, 1)},
      factor);
  describe_value_range(visitor, value_range);
}
void RandomColorDegenerationOptions::check() const {
  if (factor.size() != 2 || factor[0] > factor[1]) {
    throw invalid_argument("factor: expected two rising numbers from 0 to 1, found ",
                           factor.size());
  }
  check_value_range(value_range);
}

Value RandomColorDegeneration::call(BuildContext& context, Value x) {
  require_colours(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value share = ops::cast(beside_images(draws.uniform(options_.factor)), x.dtype());
  return clipped(x + share * (gray_of(x) - x), options_.value_range);
}

// With the largest channel m and the smallest l the saturation of hue, saturation and value is
// (m − l)/m; the other channels move towards m or away from it in proportion.
Value RandomSaturation::call(BuildContext& context, Value x) {
  require_colours(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  constexpr double kTiny = 1e-7;
  const Value drawn = draws.uniform(options_.factor);
  const Value times = drawn / (number(drawn, 1 + kTiny) - drawn);
  const Value y = to_unit(x, options_.value_range);
  const Value high = ops::max(y, {3}, true), low = -ops::max(-y, {3}, true);
  // Beyond full saturation, where the smallest channel would be below 0, there is none.
  const Value most = high / ops::maximum(high - low, number(y, kTiny));
  const Value factor = ops::minimum(ops::cast(beside_images(times), y.dtype()), most);
  return from_unit(high - (high - y) * factor, options_.value_range);
}

Value RandomSharpness::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value drawn = draws.uniform(options_.factor);
  const Value smooth_share =
      ops::cast(beside_images(number(drawn, 1) - drawn * number(drawn, 2)), x.dtype());
  const int64_t channels = x.shape()[3];
  Tensor kernel(DType::kFloat32, {3, 3, 1, channels});
  const auto weights = kernel.flat<float>();
  for (size_t i = 0; i < weights.size(); ++i) {
    const bool is_middle = static_cast<int64_t>(i) / channels == 4;
    weights[i] = (is_middle ? 5.f : 1.f) / 13.f;
  }
  const Value smooth = ops::conv2d(x, ops::cast(ops::constant(x.graph(), kernel), x.dtype()),
                                   {.groups = channels, .padding = ops::Padding::kSame});
  return clipped(x + smooth_share * (smooth - x), options_.value_range);
}

}  // namespace trireme::nn
