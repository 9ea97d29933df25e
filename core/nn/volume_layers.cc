// Convolutions over volumes. Pooling of volumes stands with the other pooling layers.
#include "core/base/error.h"
#include "core/nn/convolution_layers.h"
#include "core/nn/layer_options.h"
#include "core/ops/images.h"
#include "core/ops/window.h"

namespace trireme::nn {
namespace {

// The slices of each window along the depth, in front of each other: [batch, d, h, w, c] → [batch,
// d', window, h, w, c].
Value stack_windows(Value x, const WindowAxis& axis) {
  if (axis.before + axis.after > 0) {
    x = ops::pad(x, {0, axis.before, 0, 0, 0}, {0, axis.after, 0, 0, 0});
  }
  std::vector<Value> slices;
  for (int64_t k = 0; k < axis.window; ++k) {
    const Value slice = ops::strided_slice(x, 1, k * axis.dilation, axis.stride, axis.output);
    slices.push_back(ops::expand_dims(slice, {2}));
  }
  return slices.size() == 1 ? slices[0] : ops::concat(slices, 2);
}

template <typename Options>
void describe_windows(OptionVisitor& visitor, Options& o) {
  visitor.field({.name = "filters",
                 .help = "channels of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                o.filters);
  describe_volume_directions(visitor,
                             {.name = "kernel",
                              .help = "size of the window",
                              .range = at_least(1),
                              .default_text = "must be given",
                              .keras = "kernel_size"},
                             {"kernel_depth", "kernel_height", "kernel_width"}, o.kernel_d,
                             o.kernel_h, o.kernel_w);
  describe_volume_directions(visitor,
                             {.name = "stride",
                              .help = "from one window to the next",
                              .range = at_least(1),
                              .keras = "strides"},
                             {"stride_depth", "stride_height", "stride_width"}, o.stride_d,
                             o.stride_h, o.stride_w);
  describe_volume_directions(visitor,
                             {.name = "dilation",
                              .help = "from one element of the window to the next",
                              .range = at_least(1),
                              .keras = "dilation_rate"},
                             {"dilation_depth", "dilation_height", "dilation_width"}, o.dilation_d,
                             o.dilation_h, o.dilation_w);
}

template <typename Options>
void describe_output(OptionVisitor& visitor, Options& o) {
  describe_padding(visitor, o.padding);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, o.activation);
  describe_use_bias(visitor, o.use_bias);
  nn::describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
               o.kernel_initializer);
  nn::describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
               o.bias_initializer);
  describe_weight_rules(visitor, o);
}

// Adds the bias, and applies the activation.
template <typename Options>
Value finish(BuildContext& context, Value y, const Options& o, const Fans& fans) {
  if (o.use_bias) {
    y = ops::bias_add(y, context.variable("bias", {o.filters}, o.bias_initializer, fans,
                                          o.bias_regularizer, o.bias_constraint));
  }
  y = activate(y, o.activation);
  context.add_activity_loss(o.activity_regularizer, y);
  return y;
}

// Puts what each slice d makes of the depth of a window, part k of [batch, d, window, h, w, c], to
// d·stride + k·dilation, and adds up what meets there: [batch, size, h, w, c].
Value add_windows(Value parts, int64_t depth, const WindowAxis& axis) {
  const Shape in = parts.shape();
  const int64_t window = in[2];
  Value sum;
  for (int64_t k = 0; k < window; ++k) {
    const Value part = ops::slice(parts, {0, 0, k, 0, 0, 0}, {-1, -1, 1, -1, -1, -1});
    const Value apart = ops::pad(part, {0, 0, 0, 0, 0, 0}, {0, 0, axis.stride - 1, 0, 0, 0});
    const Value placed =
        ops::pad(ops::reshape(apart, {-1, in[1] * axis.stride, in[3], in[4], in[5]}),
                 {0, k * axis.dilation, 0, 0, 0}, {0, (window - 1 - k) * axis.dilation, 0, 0, 0});
    sum = k == 0 ? placed : sum + placed;
  }
  return ops::slice(sum, {0, axis.before, 0, 0, 0}, {-1, depth, -1, -1, -1});
}

}  // namespace

void Conv3DOptions::describe(OptionVisitor& visitor) {
  describe_windows(visitor, *this);
  visitor.field({.name = "groups",
                 .help = "parts of the channels, each with filters of its own",
                 .range = at_least(1)},
                groups);
  describe_output(visitor, *this);
}

void Conv3DOptions::check() const {
  if (filters % groups == 0) return;
  throw invalid_argument("conv3d: filters must be a multiple of groups; found ", filters,
                         " filters in ", groups, " groups");
}

Value Conv3D::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_volume(context, x);
  const Shape in = x.shape();
  const int64_t channels = in[4], each = channels / o.groups;
  context.require(channels % o.groups == 0,
                  str_cat("channels that divide into ", o.groups, " groups"));
  const Shape kernel_shape{o.kernel_d, o.kernel_h, o.kernel_w, each, o.filters};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans,
                                        o.kernel_regularizer, o.kernel_constraint);
  const bool same = o.padding == ops::Padding::kSame;
  const WindowAxis depth =
      window_axis(in[1], o.kernel_d, o.stride_d, o.dilation_d, same ? "SAME" : "VALID");
  // The channels of an image: group, slice of the window, channel of the group.
  const int64_t wide = o.kernel_d * channels;
  Value images =
      ops::reshape(stack_windows(x, depth), {-1, o.kernel_d, in[2] * in[3], o.groups, each});
  images = ops::reshape(ops::transpose(images, {0, 2, 3, 1, 4}), {-1, in[2], in[3], wide});
  const Value filter = ops::reshape(ops::transpose(kernel, {1, 2, 0, 3, 4}),
                                    {o.kernel_h, o.kernel_w, o.kernel_d * each, o.filters});
  Value y = ops::conv2d(images, filter,
                        {.stride_h = o.stride_h,
                         .stride_w = o.stride_w,
                         .dilation_h = o.dilation_h,
                         .dilation_w = o.dilation_w,
                         .groups = o.groups,
                         .padding = o.padding});
  y = ops::reshape(y, {-1, depth.output, y.shape()[1], y.shape()[2], o.filters});
  return finish(context, y, o, fans);
}

void Conv3DTransposeOptions::describe(OptionVisitor& visitor) {
  describe_windows(visitor, *this);
  describe_volume_directions(
      visitor,
      {.name = "output_padding",
       .help = "more at the end of each direction, below the stride",
       .range = at_least(0),
       .default_text = "as much as the padding says"},
      {"output_padding_depth", "output_padding_height", "output_padding_width"}, output_padding_d,
      output_padding_h, output_padding_w);
  describe_output(visitor, *this);
}

void Conv3DTransposeOptions::check() const {
  TransposedAxis{1, kernel_d, stride_d, dilation_d, output_padding_d}.check("conv3d_transpose");
  TransposedAxis{1, kernel_h, stride_h, dilation_h, output_padding_h}.check("conv3d_transpose");
  TransposedAxis{1, kernel_w, stride_w, dilation_w, output_padding_w}.check("conv3d_transpose");
}

// Each slice of the depth by itself, with the filters of all slices of a window, which are then
// added up where they meet.
Value Conv3DTranspose::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_volume(context, x);
  const Shape in = x.shape();
  const Shape kernel_shape{o.kernel_d, o.kernel_h, o.kernel_w, o.filters, in[4]};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans,
                                        o.kernel_regularizer, o.kernel_constraint);
  const auto size = [&](int64_t input, int64_t window, int64_t stride, int64_t dilation,
                        const MaybeSize& output_padding) {
    return TransposedAxis{input, window, stride, dilation, output_padding}.output(o.padding);
  };
  const int64_t depth = size(in[1], o.kernel_d, o.stride_d, o.dilation_d, o.output_padding_d);
  const int64_t height = size(in[2], o.kernel_h, o.stride_h, o.dilation_h, o.output_padding_h);
  const int64_t width = size(in[3], o.kernel_w, o.stride_w, o.dilation_w, o.output_padding_w);
  const Value filter = ops::reshape(ops::transpose(kernel, {1, 2, 0, 3, 4}),
                                    {o.kernel_h, o.kernel_w, o.kernel_d * o.filters, in[4]});
  const Value slices =
      ops::conv2d_transpose(ops::reshape(x, {-1, in[2], in[3], in[4]}), filter, height, width,
                            {.stride_h = o.stride_h,
                             .stride_w = o.stride_w,
                             .dilation_h = o.dilation_h,
                             .dilation_w = o.dilation_w,
                             .padding = o.padding});
  const bool same = o.padding == ops::Padding::kSame;
  const WindowAxis axis =
      window_axis(depth, o.kernel_d, o.stride_d, o.dilation_d, same ? "SAME" : "VALID");
  // [batch·d, h, w, window·filters] → [batch, d, window, h, w, filters]
  const Value apart = ops::transpose(
      ops::reshape(slices, {-1, height, width, o.kernel_d, o.filters}), {0, 3, 1, 2, 4});
  Value y = add_windows(ops::reshape(apart, {-1, in[1], o.kernel_d, height, width, o.filters}),
                        depth, axis);
  return finish(context, y, o, fans);
}

}  // namespace trireme::nn
