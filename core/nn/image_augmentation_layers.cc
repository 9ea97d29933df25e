#include "core/nn/image_augmentation_layers.h"

#include <algorithm>
#include <numbers>

#include "core/base/error.h"
#include "core/nn/image_draws.h"
#include "core/nn/layer_options.h"
#include "core/nn/reshaping_layers.h"

namespace trireme::nn {
namespace {

void describe_size(OptionVisitor& visitor, int64_t& height, int64_t& width) {
  visitor.field({.name = "height",
                 .help = "of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                height);
  visitor.field({.name = "width",
                 .help = "of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                width);
}

// The part of the images that has the aspect ratio of height × width, from their middle.
Value cropped_to_aspect(Value x, int64_t height, int64_t width) {
  const int64_t h = x.shape()[1], w = x.shape()[2];
  const int64_t crop_h = std::min(h, std::max<int64_t>(1, w * height / width));
  const int64_t crop_w = std::min(w, std::max<int64_t>(1, h * width / height));
  if (crop_h == h && crop_w == w) return x;
  return ops::slice(x, {0, (h - crop_h) / 2, (w - crop_w) / 2, 0}, {-1, crop_h, crop_w, -1});
}

Value resized_to_aspect(Value x, int64_t height, int64_t width, ops::Interpolation interpolation) {
  return ops::resize2d(cropped_to_aspect(x, height, width), height, width, interpolation);
}

// (a·x + b·y + c, d·x + e·y + f), each f32 [batch, 1].
struct Affine {
  Value a, b, c, d, e, f;
};

Value warped(Value x, const Affine& t, int64_t height, int64_t width, const WarpOptions& o) {
  return ops::affine_transform(x, ops::concat({t.a, t.b, t.c, t.d, t.e, t.f}, 1), height, width,
                               {o.interpolation, o.fill_mode, o.fill_value});
}

// The matrix [a b; d e] around the middle of the image, which stays where it is.
Value warped_around_middle(Value x, Value a, Value b, Value d, Value e, const WarpOptions& o) {
  const int64_t h = x.shape()[1], w = x.shape()[2];
  const Value column = number(a, static_cast<double>(w - 1) / 2);
  const Value row = number(a, static_cast<double>(h - 1) / 2);
  const Value c = column - a * column - b * row, f = row - d * column - e * row;
  return warped(x, {a, b, c, d, e, f}, h, w, o);
}

}  // namespace

void ResizingOptions::describe(OptionVisitor& visitor) {
  describe_size(visitor, height, width);
  describe_interpolation(visitor, interpolation);
  visitor.field({.name = "crop_to_aspect_ratio",
                 .help = "cuts off the longer side first, so that nothing is stretched"},
                crop_to_aspect_ratio);
}

Value Resizing::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sized_images(context, x);
  return o.crop_to_aspect_ratio ? resized_to_aspect(x, o.height, o.width, o.interpolation)
                                : ops::resize2d(x, o.height, o.width, o.interpolation);
}

void CenterCropOptions::describe(OptionVisitor& visitor) { describe_size(visitor, height, width); }

Value CenterCrop::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sized_images(context, x);
  const int64_t more_h = x.shape()[1] - o.height, more_w = x.shape()[2] - o.width;
  if (more_h < 0 || more_w < 0) {
    return resized_to_aspect(x, o.height, o.width, ops::Interpolation::kBilinear);
  }
  return ops::slice(x, {0, more_h / 2, more_w / 2, 0}, {-1, o.height, o.width, -1});
}

Value RandomCrop::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sized_images(context, x);
  const int64_t more_h = x.shape()[1] - o.height, more_w = x.shape()[2] - o.width;
  if (!context.training() || more_h < 0 || more_w < 0) {
    return resized_to_aspect(x, o.height, o.width, ops::Interpolation::kBilinear);
  }
  ImageDraws draws(context, x);
  const auto offset = [&](int64_t more) {
    const Value unit = draws.uniform();
    const Value scaled = unit * number(unit, static_cast<double>(more + 1));
    // A product that is rounded up to more + 1 is one too many.
    return ops::minimum(ops::cast(ops::cast(scaled, DType::kInt64), DType::kFloat32),
                        number(unit, static_cast<double>(more)));
  };
  const Value zero = draws.filled(0), one = draws.filled(1);
  const Value down = offset(more_h), right = offset(more_w);
  const WarpOptions exact{.interpolation = ops::Interpolation::kNearest};
  return warped(x, {one, zero, right, zero, one, down}, o.height, o.width, exact);
}

void RandomFlipOptions::describe(OptionVisitor& visitor) {
  static constexpr EnumName<FlipMode> kNames[] = {{FlipMode::kHorizontal, "HORIZONTAL"},
                                                  {FlipMode::kVertical, "VERTICAL"},
                                                  {FlipMode::kBoth, "HORIZONTAL_AND_VERTICAL"}};
  visitor.field({.name = "mode", .help = "what may be mirrored, of half of the images"}, mode,
                kNames);
}

Value RandomFlip::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const int64_t h = x.shape()[1], w = x.shape()[2];
  const Value zero = draws.filled(0), one = draws.filled(1);
  // Of an axis of n: i, or (n − 1) − i.
  const auto axis = [&](bool may_flip, int64_t size) -> std::pair<Value, Value> {
    if (!may_flip) return {one, zero};
    const Value flips = draws.coin(0.5);
    return {one - flips * number(flips, 2), flips * number(flips, static_cast<double>(size - 1))};
  };
  const auto [a, c] = axis(options_.mode != FlipMode::kVertical, w);
  const auto [e, f] = axis(options_.mode != FlipMode::kHorizontal, h);
  const WarpOptions exact{.interpolation = ops::Interpolation::kNearest};
  return warped(x, {a, zero, c, zero, e, f}, h, w, exact);
}

void WarpOptions::describe(OptionVisitor& visitor) {
  static constexpr EnumName<ops::Fill> kNames[] = {{ops::Fill::kConstant, "CONSTANT"},
                                                   {ops::Fill::kNearest, "NEAREST"},
                                                   {ops::Fill::kReflect, "REFLECT"},
                                                   {ops::Fill::kWrap, "WRAP"}};
  visitor.field({.name = "fill_mode",
                 .help = "what comes where the image does not reach: fill_value, its border, "
                         "itself mirrored, or itself again"},
                fill_mode, kNames);
  describe_interpolation(visitor, interpolation);
  visitor.field({.name = "fill_value", .help = "of fill_mode CONSTANT"}, fill_value);
}

void RandomRotationOptions::describe(OptionVisitor& visitor) {
  describe_factor(visitor, "factor", "of a full turn: one number f for -f … f, or two", factor);
  WarpOptions::describe(visitor);
}
void RandomRotationOptions::check() const { check_factor("factor", factor); }

Value RandomRotation::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value turn = draws.uniform(options_.factor);
  const Value angle = turn * number(turn, 2 * std::numbers::pi);
  const Value cosine = ops::cos(angle), sine = ops::sin(angle);
  return warped_around_middle(x, cosine, -sine, sine, cosine, options_);
}

void RandomTranslationOptions::describe(OptionVisitor& visitor) {
  describe_factor(visitor, "height_factor", "of the height: one number f for -f … f, or two",
                  height_factor);
  describe_factor(visitor, "width_factor", "of the width: one number f for -f … f, or two",
                  width_factor);
  WarpOptions::describe(visitor);
}
void RandomTranslationOptions::check() const {
  check_factor("height_factor", height_factor);
  check_factor("width_factor", width_factor);
}

Value RandomTranslation::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const int64_t h = x.shape()[1], w = x.shape()[2];
  const Value zero = draws.filled(0), one = draws.filled(1);
  const Value down = draws.uniform(options_.height_factor);
  const Value right = draws.uniform(options_.width_factor);
  const Value c = right * number(right, -static_cast<double>(w));
  const Value f = down * number(down, -static_cast<double>(h));
  return warped(x, {one, zero, c, zero, one, f}, h, w, options_);
}

void RandomZoomOptions::describe(OptionVisitor& visitor) {
  describe_factor(visitor, "height_factor",
                  "the size is divided by 1 + factor: one number f for -f … f, or two",
                  height_factor);
  visitor.field({.name = "width_factor",
                 .help = "likewise of the width",
                 .default_text = "what is drawn for the height"},
                width_factor);
  WarpOptions::describe(visitor);
}
void RandomZoomOptions::check() const {
  check_factor("height_factor", height_factor, -1);
  if (!width_factor.empty()) check_factor("width_factor", width_factor, -1);
}

Value RandomZoom::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const auto& o = options_;
  const Value one = draws.filled(1), zero = draws.filled(0);
  const Value height = draws.uniform(o.height_factor) + one;
  const Value width = o.width_factor.empty() ? height : draws.uniform(o.width_factor) + one;
  return warped_around_middle(x, width, zero, zero, height, o);
}

void RandomShearOptions::describe(OptionVisitor& visitor) {
  describe_factor(visitor, "x_factor",
                  "columns to the right a row: one number f for -f … f, or two", x_factor);
  describe_factor(visitor, "y_factor", "rows downwards a column: one number f for -f … f, or two",
                  y_factor);
  WarpOptions::describe(visitor);
}
void RandomShearOptions::check() const {
  check_factor("x_factor", x_factor);
  check_factor("y_factor", y_factor);
}

Value RandomShear::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value one = draws.filled(1);
  const Value along_x = draws.uniform(options_.x_factor);
  const Value along_y = draws.uniform(options_.y_factor);
  return warped_around_middle(x, one, along_x, along_y, one, options_);
}

void RandomContrastOptions::describe(OptionVisitor& visitor) {
  describe_factor(visitor, "factor", "one number f for -f … f, or two", factor);
  describe_value_range(visitor, value_range);
}
void RandomContrastOptions::check() const {
  check_factor("factor", factor, -1);
  check_value_range(value_range);
}

Value RandomContrast::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const Value times = draws.uniform(options_.factor) + draws.filled(1);
  const Value mean = ops::mean(x, {1, 2}, true);
  const Value factor = ops::cast(beside_images(times), x.dtype());
  return clipped((x - mean) * factor + mean, options_.value_range);
}

Value RandomBrightness::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const auto& range = options_.value_range;
  const Value drawn = draws.uniform(options_.factor);
  const Value more = beside_images(drawn * number(drawn, range[1] - range[0]));
  return clipped(x + ops::cast(more, x.dtype()), range);
}

void RandomInvertOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "factor", .help = "share of the images", .range = from_to(0, 1)}, factor);
  describe_value_range(visitor, value_range);
}
void RandomInvertOptions::check() const { check_value_range(value_range); }

Value RandomInvert::call(BuildContext& context, Value x) {
  require_sized_images(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  const auto& range = options_.value_range;
  return chosen_images(draws.coin(options_.factor), number(x, range[0] + range[1]) - x, x);
}

void RandomGrayscaleOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "factor", .help = "share of the images", .range = from_to(0, 1)}, factor);
}

Value RandomGrayscale::call(BuildContext& context, Value x) {
  require_colours(context, x);
  if (!context.training()) return x;
  ImageDraws draws(context, x);
  return chosen_images(draws.coin(options_.factor), ops::broadcast_like(gray_of(x), x), x);
}

}  // namespace trireme::nn
