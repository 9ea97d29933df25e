// Layers over images.
#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/nn/layers.h"

namespace trireme::nn {
namespace {

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
  describe_sides(visitor, {.name = "padding", .help = "pixels on each side", .range = at_least(0)},
                 {{"top", &top}, {"bottom", &bottom}, {"left", &left}, {"right", &right}});
}

void GlobalAvgPool2DOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "keep_dims", .help = "keeps the axes, of size 1", .keras = "keepdims"},
                keep_dims);
}

Value GlobalAvgPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::mean(x, {1, 2}, options_.keep_dims);
}

Value ZeroPad2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::pad(x, {0, options_.top, options_.left, 0}, {0, options_.bottom, options_.right, 0});
}

}  // namespace trireme::nn
