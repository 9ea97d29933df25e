// Layers over images.
#include "core/base/error.h"
#include "core/nn/layers.h"

namespace trireme::nn {
namespace {

void require_images(const BuildContext& context, Value x) {
  context.require(is_floating(x.dtype()), "floating-point numbers",
                  "cast and scale the values in the data set");
  context.require(x.shape().rank() == 4, "images [batch, height, width, channels]",
                  x.shape().rank() == 3 ? "add a reshape layer that gives them a channel axis"
                                        : "move this layer before the flatten layer");
  context.require(x.shape()[3] > 0, "images with a known number of channels");
}

void describe_padding(OptionVisitor& visitor, ops::Padding& padding) {
  static constexpr EnumName<ops::Padding> kNames[] = {{ops::Padding::kValid, "VALID"},
                                                      {ops::Padding::kSame, "SAME"}};
  visitor.field({.name = "padding", .help = "SAME: zeros around, so that stride 1 keeps the size"},
                padding, kNames);
}

// An option that is one number for both directions, or one for each.
struct BothDirections {
  OptionInfo both;
  std::string_view height_name, width_name;
};
using MaybeSize = std::optional<int64_t>;

void describe_directions(OptionVisitor& visitor, const BothDirections& option, MaybeSize& height,
                         MaybeSize& width) {
  MaybeSize both, one_height, one_width;
  if (height == width) {
    both = height;
  } else {
    one_height = height;
    one_width = width;
  }
  const std::string_view absent = option.both.name;
  visitor.field(option.both, both);
  visitor.field({.name = option.height_name,
                 .help = "of the height",
                 .range = option.both.range,
                 .default_text = absent},
                one_height);
  visitor.field({.name = option.width_name,
                 .help = "of the width",
                 .range = option.both.range,
                 .default_text = absent},
                one_width);
  if (both) height = width = both;
  if (one_height) height = one_height;
  if (one_width) width = one_width;
}

void describe_directions(OptionVisitor& visitor, const BothDirections& option, int64_t& height,
                         int64_t& width) {
  MaybeSize maybe_height = height, maybe_width = width;
  describe_directions(visitor, option, maybe_height, maybe_width);
  height = maybe_height.value_or(height);
  width = maybe_width.value_or(width);
}

ops::Pool2dOptions pool_of(const Pool2DOptions& options) {
  return {.window_h = options.window_h,
          .window_w = options.window_w,
          .stride_h = options.stride_h.value_or(options.window_h),
          .stride_w = options.stride_w.value_or(options.window_w),
          .padding = options.padding};
}

}  // namespace

void Conv2DOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "filters",
                 .help = "channels of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                filters);
  describe_directions(visitor,
                      {{.name = "kernel",
                        .help = "size of the window, height and width",
                        .range = at_least(1),
                        .keras = "kernel_size"},
                       "kernel_height",
                       "kernel_width"},
                      kernel_h, kernel_w);
  describe_directions(visitor,
                      {{.name = "stride",
                        .help = "pixels from one window to the next",
                        .range = at_least(1),
                        .keras = "strides"},
                       "stride_height",
                       "stride_width"},
                      stride_h, stride_w);
  describe_directions(visitor,
                      {{.name = "dilation",
                        .help = "pixels from one element of the window to the next",
                        .range = at_least(1),
                        .keras = "dilation_rate"},
                       "dilation_height",
                       "dilation_width"},
                      dilation_h, dilation_w);
  visitor.field({.name = "groups",
                 .help = "parts of the channels, each with filters of its own",
                 .range = at_least(1)},
                groups);
  describe_padding(visitor, padding);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, activation);
  visitor.field({.name = "use_bias", .help = "adds a bias"}, use_bias);
  visitor.negated({.name = "no_bias", .help = "true is use_bias: false"}, use_bias);
  nn::describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
               kernel_initializer);
  nn::describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
               bias_initializer);
  describe_weight_rules(visitor, *this);
}

void Conv2DOptions::check() const {
  if (filters % groups != 0) {
    throw invalid_argument("conv2d: filters must be a multiple of groups; found ", filters,
                           " filters in ", groups, " groups");
  }
}

Value Conv2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  const int64_t channels = x.shape()[3];
  context.require(channels % options_.groups == 0,
                  str_cat("channels that divide into ", options_.groups, " groups"));
  const Shape kernel_shape{options_.kernel_h, options_.kernel_w, channels / options_.groups,
                           options_.filters};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, options_.kernel_initializer, fans,
                                        options_.kernel_regularizer, options_.kernel_constraint);
  Value y = ops::conv2d(x, kernel,
                        {.stride_h = options_.stride_h,
                         .stride_w = options_.stride_w,
                         .dilation_h = options_.dilation_h,
                         .dilation_w = options_.dilation_w,
                         .groups = options_.groups,
                         .padding = options_.padding});
  if (options_.use_bias) {
    const Shape bias_shape{options_.filters};
    y = ops::bias_add(y, context.variable("bias", bias_shape, options_.bias_initializer, fans,
                                          options_.bias_regularizer, options_.bias_constraint));
  }
  y = activate(y, options_.activation);
  context.add_activity_loss(options_.activity_regularizer, y);
  return y;
}

void Pool2DOptions::describe(OptionVisitor& visitor) {
  describe_directions(visitor,
                      {{.name = "window",
                        .help = "size of the window, height and width",
                        .range = at_least(1),
                        .keras = "pool_size"},
                       "window_height",
                       "window_width"},
                      window_h, window_w);
  describe_directions(visitor,
                      {{.name = "stride",
                        .help = "pixels from one window to the next",
                        .range = at_least(1),
                        .default_text = "the window",
                        .keras = "strides"},
                       "stride_height",
                       "stride_width"},
                      stride_h, stride_w);
  describe_padding(visitor, padding);
}

Value MaxPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::max_pool2d(x, pool_of(options_));
}

Value AvgPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::avg_pool2d(x, pool_of(options_));
}

void ZeroPad2DOptions::describe(OptionVisitor& visitor) {
  MaybeSize all, sides[4];
  int64_t* const members[] = {&top, &bottom, &left, &right};
  const bool alike = top == bottom && top == left && top == right;
  if (alike) all = top;
  visitor.field({.name = "padding", .help = "pixels on each side", .range = at_least(0)}, all);
  constexpr std::string_view kNames[] = {"top", "bottom", "left", "right"};
  for (size_t i = 0; i < 4; ++i) {
    if (!alike) sides[i] = *members[i];
    visitor.field({.name = kNames[i],
                   .help = "pixels on this side",
                   .range = at_least(0),
                   .default_text = "padding"},
                  sides[i]);
    *members[i] = sides[i] ? *sides[i] : all.value_or(*members[i]);
  }
}

Value GlobalAvgPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::mean(x, {1, 2});
}

Value ZeroPad2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::pad(x, {0, options_.top, options_.left, 0}, {0, options_.bottom, options_.right, 0});
}

}  // namespace trireme::nn
