#include "core/nn/convolution_layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/ops/images.h"

namespace trireme::nn {
namespace {

constexpr std::string_view kMustBeGiven = "must be given";

// --- options

void describe_filters(OptionVisitor& visitor, int64_t& filters) {
  visitor.field({.name = "filters",
                 .help = "channels of the output",
                 .range = at_least(1),
                 .default_text = kMustBeGiven},
                filters);
}

OptionInfo kernel_info() {
  return {.name = "kernel",
          .help = "size of the window",
          .range = at_least(1),
          .default_text = kMustBeGiven,
          .keras = "kernel_size"};
}
OptionInfo stride_info() {
  return {.name = "stride",
          .help = "from one window to the next",
          .range = at_least(1),
          .keras = "strides"};
}
OptionInfo dilation_info() {
  return {.name = "dilation",
          .help = "from one element of the window to the next",
          .range = at_least(1),
          .keras = "dilation_rate"};
}

template <typename Options>
void describe_windows_1d(OptionVisitor& visitor, Options& o) {
  visitor.field(kernel_info(), o.kernel);
  visitor.field(stride_info(), o.stride);
  visitor.field(dilation_info(), o.dilation);
}

template <typename Options>
void describe_windows_2d(OptionVisitor& visitor, Options& o) {
  describe_directions(visitor, {kernel_info(), "kernel_height", "kernel_width"}, o.kernel_h,
                      o.kernel_w);
  describe_directions(visitor, {stride_info(), "stride_height", "stride_width"}, o.stride_h,
                      o.stride_w);
  describe_directions(visitor, {dilation_info(), "dilation_height", "dilation_width"}, o.dilation_h,
                      o.dilation_w);
}

void describe_groups(OptionVisitor& visitor, int64_t& groups) {
  visitor.field({.name = "groups",
                 .help = "parts of the channels, each with filters of its own",
                 .range = at_least(1)},
                groups);
}

void describe_depth_multiplier(OptionVisitor& visitor, int64_t& depth_multiplier) {
  visitor.field(
      {.name = "depth_multiplier", .help = "filters of each channel", .range = at_least(1)},
      depth_multiplier);
}

// What all have at their end.
template <typename Options>
void describe_output(OptionVisitor& visitor, Options& o) {
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, o.activation);
  describe_use_bias(visitor, o.use_bias);
}
void describe_initializer(OptionVisitor& visitor, std::string_view name, std::string_view help,
                          Initializer& initializer) {
  nn::describe(visitor, {.name = name, .help = help}, initializer);
}
template <typename Options>
void describe_kernel_and_bias(OptionVisitor& visitor, Options& o) {
  describe_initializer(visitor, "kernel_initializer", "first values of the kernel",
                       o.kernel_initializer);
  describe_initializer(visitor, "bias_initializer", "first values of the bias", o.bias_initializer);
  describe_weight_rules(visitor, o);
}
template <typename Options>
void describe_depthwise_and_bias(OptionVisitor& visitor, Options& o) {
  describe_initializer(visitor, "depthwise_initializer",
                       "first values of the kernel over each channel", o.depthwise_initializer);
  if constexpr (requires { o.pointwise_initializer; }) {
    describe_initializer(visitor, "pointwise_initializer",
                         "first values of the kernel over the channels", o.pointwise_initializer);
  }
  describe_initializer(visitor, "bias_initializer", "first values of the bias", o.bias_initializer);
}

void check_groups(std::string_view layer, int64_t filters, int64_t groups) {
  if (filters % groups == 0) return;
  throw invalid_argument(layer, ": filters must be a multiple of groups; found ", filters,
                         " filters in ", groups, " groups");
}

// Of a stride and a dilation that are both above 1, TensorFlow and Keras know no layer.
void check_stride_and_dilation(std::string_view layer, int64_t stride, int64_t dilation) {
  if (stride == 1 || dilation == 1) return;
  throw invalid_argument(layer, ": expected a stride or a dilation of 1, found ", stride, " and ",
                         dilation);
}

// --- building

// Adds the bias, and applies the activation.
template <typename Options>
Value finish(BuildContext& context, Value y, const Options& o, const Fans& fans) {
  constexpr bool kHasRules = requires { o.bias_regularizer; };
  if (o.use_bias) {
    const Shape shape{y.shape().dim(-1)};
    Value bias;
    if constexpr (kHasRules) {
      bias = context.variable("bias", shape, o.bias_initializer, fans, o.bias_regularizer,
                              o.bias_constraint);
    } else {
      bias = context.variable("bias", shape, o.bias_initializer, fans);
    }
    y = ops::bias_add(y, bias);
  }
  y = activate(y, o.activation);
  if constexpr (kHasRules) context.add_activity_loss(o.activity_regularizer, y);
  return y;
}

// A sequence is an image of one row.
Value as_image(Value sequence) { return ops::expand_dims(sequence, {1}); }
Value as_sequence(Value image) { return ops::squeeze(image, {1}); }
Value as_image_kernel(Value kernel) { return ops::expand_dims(kernel, {0}); }

template <typename Options>
ops::Conv2dOptions window_1d(const Options& o) {
  return {.stride_w = o.stride, .dilation_w = o.dilation};
}

template <typename Options>
ops::Conv2dOptions window_2d(const Options& o) {
  return {.stride_h = o.stride_h,
          .stride_w = o.stride_w,
          .dilation_h = o.dilation_h,
          .dilation_w = o.dilation_w,
          .padding = o.padding};
}

// kernel: [h, w, channels, multiplier].
Value depthwise(Value images, Value kernel, ops::Conv2dOptions window) {
  const Shape& k = kernel.shape();
  window.groups = k[2];
  return ops::conv2d(images, ops::reshape(kernel, {k[0], k[1], 1, k[2] * k[3]}), window);
}

void require_groups(const BuildContext& context, Value x, int64_t groups) {
  context.require(x.shape().dim(-1) % groups == 0,
                  str_cat("channels that divide into ", groups, " groups"));
}

}  // namespace

void TransposedAxis::check(std::string_view layer) const {
  check_stride_and_dilation(layer, stride, dilation);
  if (!output_padding || *output_padding < stride) return;
  throw invalid_argument(layer, ": output_padding must be below the stride, found ",
                         *output_padding, " with stride ", stride);
}

int64_t TransposedAxis::output(ops::Padding padding) const {
  const int64_t extent = (kernel - 1) * dilation + 1;
  const bool same = padding == ops::Padding::kSame;
  if (!output_padding) {
    return input * stride + (same ? 0 : std::max<int64_t>(extent - stride, 0));
  }
  return (input - 1) * stride + extent + *output_padding - (same ? 2 * (extent / 2) : 0);
}

// --- sequences

void Conv1DOptions::describe(OptionVisitor& visitor) {
  static constexpr EnumName<SequencePadding> kPaddings[] = {{SequencePadding::kValid, "VALID"},
                                                            {SequencePadding::kSame, "SAME"},
                                                            {SequencePadding::kCausal, "CAUSAL"}};
  describe_filters(visitor, filters);
  describe_windows_1d(visitor, *this);
  describe_groups(visitor, groups);
  visitor.field({.name = "padding",
                 .help = "SAME: zeros around, so that stride 1 keeps the length; CAUSAL: all of "
                         "them before the first step"},
                padding, kPaddings);
  describe_output(visitor, *this);
  describe_kernel_and_bias(visitor, *this);
}

void Conv1DOptions::check() const {
  check_groups("conv1d", filters, groups);
  check_stride_and_dilation("conv1d", stride, dilation);
}

Value Conv1D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sequence(context, x);
  require_groups(context, x, o.groups);
  const Shape kernel_shape{o.kernel, x.shape()[2] / o.groups, o.filters};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans,
                                        o.kernel_regularizer, o.kernel_constraint);
  ops::Conv2dOptions window = window_1d(o);
  window.groups = o.groups;
  if (o.padding == SequencePadding::kSame) window.padding = ops::Padding::kSame;
  if (o.padding == SequencePadding::kCausal) {
    x = ops::pad(x, {0, (o.kernel - 1) * o.dilation, 0}, {0, 0, 0});
  }
  return finish(context, as_sequence(ops::conv2d(as_image(x), as_image_kernel(kernel), window)), o,
                fans);
}

void Conv1DTransposeOptions::describe(OptionVisitor& visitor) {
  describe_filters(visitor, filters);
  describe_windows_1d(visitor, *this);
  visitor.field({.name = "output_padding",
                 .help = "steps more at the end, below the stride",
                 .range = at_least(0),
                 .default_text = "as many steps as the padding says"},
                output_padding);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_kernel_and_bias(visitor, *this);
}

void Conv1DTransposeOptions::check() const {
  TransposedAxis{1, kernel, stride, dilation, output_padding}.check("conv1d_transpose");
}

Value Conv1DTranspose::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sequence(context, x);
  context.require(x.shape()[1] > 0, "sequences of known length");
  const Shape kernel_shape{o.kernel, o.filters, x.shape()[2]};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans,
                                        o.kernel_regularizer, o.kernel_constraint);
  ops::Conv2dOptions window = window_1d(o);
  window.padding = o.padding;
  const TransposedAxis axis{x.shape()[1], o.kernel, o.stride, o.dilation, o.output_padding};
  const Value y = ops::conv2d_transpose(as_image(x), as_image_kernel(kernel), 1,
                                        axis.output(o.padding), window);
  return finish(context, as_sequence(y), o, fans);
}

void DepthwiseConv1DOptions::describe(OptionVisitor& visitor) {
  describe_windows_1d(visitor, *this);
  describe_depth_multiplier(visitor, depth_multiplier);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_depthwise_and_bias(visitor, *this);
}

void DepthwiseConv1DOptions::check() const {
  check_stride_and_dilation("depthwise_conv1d", stride, dilation);
}

Value DepthwiseConv1D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sequence(context, x);
  const Shape kernel_shape{o.kernel, x.shape()[2], o.depth_multiplier};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.depthwise_initializer, fans);
  ops::Conv2dOptions window = window_1d(o);
  window.padding = o.padding;
  return finish(context, as_sequence(depthwise(as_image(x), as_image_kernel(kernel), window)), o,
                fans);
}

void SeparableConv1DOptions::describe(OptionVisitor& visitor) {
  describe_filters(visitor, filters);
  describe_windows_1d(visitor, *this);
  describe_depth_multiplier(visitor, depth_multiplier);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_depthwise_and_bias(visitor, *this);
}

void SeparableConv1DOptions::check() const {
  check_stride_and_dilation("separable_conv1d", stride, dilation);
}

Value SeparableConv1D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_sequence(context, x);
  const Shape depthwise_shape{o.kernel, x.shape()[2], o.depth_multiplier};
  const Shape pointwise_shape{1, x.shape()[2] * o.depth_multiplier, o.filters};
  const Fans fans = fans_of(pointwise_shape);
  const Value first = context.variable("depthwise_kernel", depthwise_shape, o.depthwise_initializer,
                                       fans_of(depthwise_shape));
  const Value second =
      context.variable("pointwise_kernel", pointwise_shape, o.pointwise_initializer, fans);
  ops::Conv2dOptions window = window_1d(o);
  window.padding = o.padding;
  const Value each = depthwise(as_image(x), as_image_kernel(first), window);
  return finish(context, as_sequence(ops::conv2d(each, as_image_kernel(second))), o, fans);
}

// --- images

void Conv2DTransposeOptions::describe(OptionVisitor& visitor) {
  describe_filters(visitor, filters);
  describe_windows_2d(visitor, *this);
  describe_directions(visitor,
                      {{.name = "output_padding",
                        .help = "pixels more at the bottom and on the right, below the stride",
                        .range = at_least(0),
                        .default_text = "as many pixels as the padding says"},
                       "output_padding_height",
                       "output_padding_width"},
                      output_padding_h, output_padding_w);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_kernel_and_bias(visitor, *this);
}

void Conv2DTransposeOptions::check() const {
  TransposedAxis{1, kernel_h, stride_h, dilation_h, output_padding_h}.check("conv2d_transpose");
  TransposedAxis{1, kernel_w, stride_w, dilation_w, output_padding_w}.check("conv2d_transpose");
}

Value Conv2DTranspose::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_images(context, x);
  context.require(x.shape()[1] > 0 && x.shape()[2] > 0, "images of known height and width");
  const Shape kernel_shape{o.kernel_h, o.kernel_w, o.filters, x.shape()[3]};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans,
                                        o.kernel_regularizer, o.kernel_constraint);
  const TransposedAxis h{x.shape()[1], o.kernel_h, o.stride_h, o.dilation_h, o.output_padding_h};
  const TransposedAxis w{x.shape()[2], o.kernel_w, o.stride_w, o.dilation_w, o.output_padding_w};
  const Value y =
      ops::conv2d_transpose(x, kernel, h.output(o.padding), w.output(o.padding), window_2d(o));
  return finish(context, y, o, fans);
}

void DepthwiseConv2DOptions::describe(OptionVisitor& visitor) {
  describe_windows_2d(visitor, *this);
  describe_depth_multiplier(visitor, depth_multiplier);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_depthwise_and_bias(visitor, *this);
}

void DepthwiseConv2DOptions::check() const {
  check_stride_and_dilation("depthwise_conv2d", stride_h, dilation_h);
  check_stride_and_dilation("depthwise_conv2d", stride_w, dilation_w);
}

Value DepthwiseConv2D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_images(context, x);
  const Shape kernel_shape{o.kernel_h, o.kernel_w, x.shape()[3], o.depth_multiplier};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.depthwise_initializer, fans);
  return finish(context, depthwise(x, kernel, window_2d(o)), o, fans);
}

void SeparableConv2DOptions::describe(OptionVisitor& visitor) {
  describe_filters(visitor, filters);
  describe_windows_2d(visitor, *this);
  describe_depth_multiplier(visitor, depth_multiplier);
  describe_padding(visitor, padding);
  describe_output(visitor, *this);
  describe_depthwise_and_bias(visitor, *this);
}

void SeparableConv2DOptions::check() const {
  check_stride_and_dilation("separable_conv2d", stride_h, dilation_h);
  check_stride_and_dilation("separable_conv2d", stride_w, dilation_w);
}

Value SeparableConv2D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_images(context, x);
  const Shape depthwise_shape{o.kernel_h, o.kernel_w, x.shape()[3], o.depth_multiplier};
  const Shape pointwise_shape{1, 1, x.shape()[3] * o.depth_multiplier, o.filters};
  const Fans fans = fans_of(pointwise_shape);
  const Value first = context.variable("depthwise_kernel", depthwise_shape, o.depthwise_initializer,
                                       fans_of(depthwise_shape));
  const Value second =
      context.variable("pointwise_kernel", pointwise_shape, o.pointwise_initializer, fans);
  return finish(context, ops::conv2d(depthwise(x, first, window_2d(o)), second), o, fans);
}

}  // namespace trireme::nn
