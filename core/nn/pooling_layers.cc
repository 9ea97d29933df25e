#include "core/nn/pooling_layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/layer_options.h"

namespace trireme::nn {
namespace {

enum class Pooling { kMax, kAverage };

OptionInfo window_info() {
  return {
      .name = "window", .help = "size of the window", .range = at_least(1), .keras = "pool_size"};
}
OptionInfo stride_info() {
  return {.name = "stride",
          .help = "from one window to the next",
          .range = at_least(1),
          .default_text = "the window",
          .keras = "strides"};
}
OptionInfo output_size_info() {
  return {.name = "output_size",
          .help = "of the output",
          .range = at_least(1),
          .default_text = "must be given"};
}

Value pool_images(Value x, Pooling pooling, const ops::Pool2dOptions& options) {
  return pooling == Pooling::kMax ? ops::max_pool2d(x, options) : ops::avg_pool2d(x, options);
}

// A sequence is an image of one row.
Value pool_sequence(BuildContext& context, Value x, Pooling pooling, const Pool1DOptions& o) {
  require_sequence(context, x);
  const Value y = pool_images(ops::expand_dims(x, {1}), pooling,
                              {.window_h = 1,
                               .window_w = o.window,
                               .stride_h = 1,
                               .stride_w = o.stride.value_or(o.window),
                               .padding = o.padding});
  return ops::squeeze(y, {1});
}

// Within each slice, then over the slices: every slice of a window has equally many pixels, so the
// mean of their means is the window's.
Value pool_volume(BuildContext& context, Value x, Pooling pooling, const Pool3DOptions& o) {
  require_volume(context, x);
  const Shape in = x.shape();
  Value y = pool_images(ops::reshape(x, {-1, in[2], in[3], in[4]}), pooling,
                        {.window_h = o.window_h,
                         .window_w = o.window_w,
                         .stride_h = o.stride_h.value_or(o.window_h),
                         .stride_w = o.stride_w.value_or(o.window_w),
                         .padding = o.padding});
  const int64_t height = y.shape()[1], width = y.shape()[2];
  y = pool_images(ops::reshape(y, {-1, in[1], height * width, in[4]}), pooling,
                  {.window_h = o.window_d,
                   .window_w = 1,
                   .stride_h = o.stride_d.value_or(o.window_d),
                   .stride_w = 1,
                   .padding = o.padding});
  return ops::reshape(y, {-1, y.shape()[1], height, width, in[4]});
}

Value pool_all(Value x, Pooling pooling, bool keep_dims) {
  ops::Axes axes;
  for (int i = 1; i + 1 < x.shape().rank(); ++i) axes.push_back(i);
  return pooling == Pooling::kMax ? ops::max(x, axes, keep_dims) : ops::mean(x, axes, keep_dims);
}

Value adaptive_axis(Value x, Pooling pooling, int axis, int64_t outputs) {
  const int64_t inputs = x.shape()[axis];
  const auto rank = static_cast<size_t>(x.shape().rank());
  std::vector<Value> parts;
  for (int64_t i = 0; i < outputs; ++i) {
    std::vector<int64_t> begin(rank, 0), size(rank, -1);
    const auto at = static_cast<size_t>(axis);
    begin[at] = i * inputs / outputs;
    size[at] = ((i + 1) * inputs + outputs - 1) / outputs - begin[at];
    const Value window = ops::slice(x, begin, size);
    parts.push_back(pooling == Pooling::kMax ? ops::max(window, {axis}, true)
                                             : ops::mean(window, {axis}, true));
  }
  return parts.size() == 1 ? parts[0] : ops::concat(parts, axis);
}

// One axis after the other: the windows are boxes, and all elements of one count alike.
Value adaptive(BuildContext& context, Value x, Pooling pooling,
               std::initializer_list<int64_t> sizes) {
  int axis = 1;
  for (const int64_t size : sizes) {
    context.require(x.shape()[axis] > 0, "a size that is known");
    x = adaptive_axis(x, pooling, axis++, size);
  }
  return x;
}

}  // namespace

void Pool1DOptions::describe(OptionVisitor& visitor) {
  visitor.field(window_info(), window);
  visitor.field(stride_info(), stride);
  describe_padding(visitor, padding);
}

void Pool3DOptions::describe(OptionVisitor& visitor) {
  describe_volume_directions(visitor, window_info(),
                             {"window_depth", "window_height", "window_width"}, window_d, window_h,
                             window_w);
  describe_volume_directions(visitor, stride_info(),
                             {"stride_depth", "stride_height", "stride_width"}, stride_d, stride_h,
                             stride_w);
  describe_padding(visitor, padding);
}

void AdaptivePool1DOptions::describe(OptionVisitor& visitor) {
  visitor.field(output_size_info(), output_size);
}

void AdaptivePool2DOptions::describe(OptionVisitor& visitor) {
  describe_directions(visitor, {output_size_info(), "output_height", "output_width"}, output_h,
                      output_w);
}

void AdaptivePool3DOptions::describe(OptionVisitor& visitor) {
  describe_volume_directions(visitor, output_size_info(),
                             {"output_depth", "output_height", "output_width"}, output_d, output_h,
                             output_w);
}

Value MaxPool1D::call(BuildContext& context, Value x) {
  return pool_sequence(context, x, Pooling::kMax, options_);
}

Value AvgPool1D::call(BuildContext& context, Value x) {
  return pool_sequence(context, x, Pooling::kAverage, options_);
}

Value MaxPool3D::call(BuildContext& context, Value x) {
  return pool_volume(context, x, Pooling::kMax, options_);
}

Value AvgPool3D::call(BuildContext& context, Value x) {
  return pool_volume(context, x, Pooling::kAverage, options_);
}

Value GlobalMaxPool1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return pool_all(x, Pooling::kMax, options_.keep_dims);
}

Value GlobalMaxPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return pool_all(x, Pooling::kMax, options_.keep_dims);
}

Value GlobalMaxPool3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  return pool_all(x, Pooling::kMax, options_.keep_dims);
}

Value GlobalAvgPool1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  if (const Value mask = context.mask(x); mask.defined()) {
    // The mean of the steps that are there.
    const Value there = ops::expand_dims(ops::cast(mask, x.dtype()), {2});
    const Value count = ops::sum(there, {1}, options_.keep_dims);
    return ops::sum(x * there, {1}, options_.keep_dims) / count;
  }
  return pool_all(x, Pooling::kAverage, options_.keep_dims);
}

Value GlobalAvgPool3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  return pool_all(x, Pooling::kAverage, options_.keep_dims);
}

Value AdaptiveMaxPool1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return adaptive(context, x, Pooling::kMax, {options_.output_size});
}

Value AdaptiveMaxPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return adaptive(context, x, Pooling::kMax, {options_.output_h, options_.output_w});
}

Value AdaptiveMaxPool3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  return adaptive(context, x, Pooling::kMax,
                  {options_.output_d, options_.output_h, options_.output_w});
}

Value AdaptiveAvgPool1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return adaptive(context, x, Pooling::kAverage, {options_.output_size});
}

Value AdaptiveAvgPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return adaptive(context, x, Pooling::kAverage, {options_.output_h, options_.output_w});
}

Value AdaptiveAvgPool3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  return adaptive(context, x, Pooling::kAverage,
                  {options_.output_d, options_.output_h, options_.output_w});
}

}  // namespace trireme::nn
