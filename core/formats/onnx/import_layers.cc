// ONNX's products, convolutions, pools and normalisations as ours.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/images.h"
#include "core/ops/layer_norm.h"
#include "core/ops/ops.h"
#include "core/ops/window.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

using Kind = OnnxValue::Kind;

Value number(Value like, double value) { return ops::scalar(like.graph(), like.dtype(), value); }

// --- products

OnnxResults matmul(OnnxCall& call) {
  Value a = call.value(0), b = call.value(1);
  const bool row = a.shape().rank() == 1, column = b.shape().rank() == 1;
  if (row) a = ops::expand_dims(a, {0});
  if (column) b = ops::expand_dims(b, {1});
  Value y = ops::matmul(a, b);
  if (column) y = ops::squeeze(y, {-1});
  if (row) y = ops::squeeze(y, {column ? -1 : -2});
  return {call.result(y)};
}

OnnxResults gemm(OnnxCall& call) {
  Value y = ops::matmul(call.value(0), call.value(1), call.integer("transA", 0) != 0,
                        call.integer("transB", 0) != 0);
  const double alpha = call.number("alpha", 1.0), beta = call.number("beta", 1.0);
  if (alpha != 1) y = y * number(y, alpha);
  if (!call.has(2) || beta == 0) return {call.result(y)};
  Value c = call.value(2);
  if (beta != 1) c = c * number(c, beta);
  const bool is_bias = c.shape().rank() == 1 && c.shape()[0] == y.shape().dim(-1);
  return {call.result(is_bias ? ops::bias_add(y, c) : y + c)};
}

OnnxResults einsum(OnnxCall& call) {
  std::vector<Value> values;
  for (int i = 0; i < call.count(); ++i) values.push_back(call.value(i));
  std::string equation = call.text("equation", "");
  std::erase(equation, ' ');
  return {call.result(ops::einsum(equation, values))};
}

// --- windows over images, or over sequences, which are images of one row

struct Windows {
  bool is_row = false;  // the input is [batch, channels, length]
  int64_t size[2] = {1, 1}, strides[2] = {1, 1}, dilations[2] = {1, 1};
  int64_t before[2] = {0, 0}, after[2] = {0, 0};
  ops::Padding padding = ops::Padding::kValid;  // after `before` and `after` were added
  bool has_padding() const { return before[0] + before[1] + after[0] + after[1] > 0; }
};

Windows windows_of(OnnxCall& call, const std::vector<int64_t>& size) {
  const int rank = call.rank(0);
  call.require(rank == 3 || rank == 4, "an input [batch, channels, …] of one or two sizes");
  Windows w;
  w.is_row = rank == 3;
  const size_t spatial = w.is_row ? 1 : 2, first = w.is_row ? 1 : 0;
  const auto strides = call.integers("strides", std::vector<int64_t>(spatial, 1));
  const auto dilations = call.integers("dilations", std::vector<int64_t>(spatial, 1));
  const auto pads = call.integers("pads", std::vector<int64_t>(2 * spatial, 0));
  call.require(size.size() == spatial && strides.size() == spatial && dilations.size() == spatial &&
                   pads.size() == 2 * spatial,
               "a kernel, strides, dilations and pads for each size");
  const std::string rule = call.text("auto_pad", "NOTSET");
  call.require(rule == "NOTSET" || rule == "VALID" || rule == "SAME_UPPER" || rule == "SAME_LOWER",
               "auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  const Shape shape = call.type(0).shape;
  constexpr int64_t kMost = 1 << 20;
  bool is_same = true;
  for (size_t i = 0; i < spatial; ++i) {
    const size_t at = first + i;
    w.size[at] = size[i];
    w.strides[at] = strides[i];
    w.dilations[at] = dilations[i];
    for (int64_t value : {size[i], strides[i], dilations[i]}) {
      call.require(value >= 1 && value <= kMost, "a kernel, strides and dilations of at least 1");
    }
    for (int64_t value : {pads[i], pads[spatial + i]}) {
      call.require(value >= 0 && value <= kMost, "pads of at least 0");
    }
    const int64_t input = shape[static_cast<int>(2 + i)];
    if (rule == "SAME_UPPER" || rule == "VALID") continue;
    int64_t low = pads[i], high = pads[spatial + i];
    call.require(input != 0, "an image");
    if (input < 0) {
      is_same = false;
      call.require(rule == "NOTSET", "sizes that are known, for SAME_LOWER");
    } else {
      const WindowAxis same = window_axis(input, size[i], strides[i], dilations[i], "SAME");
      if (rule == "SAME_LOWER") {
        low = same.after;
        high = same.before;
      }
      is_same = is_same && same.before == low && same.after == high;
    }
    w.before[at] = low;
    w.after[at] = high;
  }
  if (rule == "SAME_UPPER" || (rule != "VALID" && w.has_padding() && is_same)) {
    w.padding = ops::Padding::kSame;
    for (int i = 0; i < 2; ++i) w.before[i] = w.after[i] = 0;
  }
  return w;
}

// [batch, height, width, channels] of input 0.
Value image(OnnxCall& call, const Windows& w) {
  if (!w.is_row) return call.channels_last(0);
  return ops::expand_dims(ops::transpose(call.value(0), {0, 2, 1}), {1});
}

OnnxValue give(OnnxCall& call, const Windows& w, Value y) {
  if (!w.is_row) return call.result_channels_last(y);
  return call.result(ops::transpose(ops::squeeze(y, {1}), {0, 2, 1}));
}

Value padded(Value x, const Windows& w) {
  if (!w.has_padding()) return x;
  return ops::pad(x, {0, w.before[0], w.before[1], 0}, {0, w.after[0], w.after[1], 0});
}

// OIHW, or of a sequence OIW, as ours.
Value filter_of(OnnxCall& call, int i, const Windows& w) {
  Value filter = call.value(i);
  if (w.is_row) filter = ops::expand_dims(filter, {2});
  return ops::transpose(filter, {2, 3, 1, 0});
}

std::vector<int64_t> kernel_of(OnnxCall& call, int filter) {
  const Shape shape = call.type(filter).shape;
  call.require(shape.rank() == call.rank(0) && shape.is_known(),
               "a filter of as many dimensions as the input");
  return {shape.begin() + 2, shape.end()};
}

Value with_bias(OnnxCall& call, int i, Value y) {
  return call.has(i) ? ops::bias_add(y, call.value(i)) : y;
}

OnnxResults conv(OnnxCall& call) {
  const Windows w = windows_of(call, kernel_of(call, 1));
  const Value y = ops::conv2d(padded(image(call, w), w), filter_of(call, 1, w),
                              {.stride_h = w.strides[0],
                               .stride_w = w.strides[1],
                               .dilation_h = w.dilations[0],
                               .dilation_w = w.dilations[1],
                               .groups = call.integer("group", 1),
                               .padding = w.padding});
  return {give(call, w, with_bias(call, 2, y))};
}

// The transposed convolution without padding, of which the border is cut off.
OnnxResults conv_transpose(OnnxCall& call) {
  call.require(
      call.text("auto_pad", "NOTSET") == "NOTSET" && call.attribute("output_shape") == nullptr,
      "pads that are numbers");
  const auto extra = call.integers("output_padding", {0, 0});
  call.require(call.rank(0) == 4 && extra.size() == 2, "an image [batch, channels, height, width]");
  const auto kernel = kernel_of(call, 1);
  const auto strides = call.integers("strides", {1, 1}),
             dilations = call.integers("dilations", {1, 1}),
             pads = call.integers("pads", {0, 0, 0, 0});
  call.require(strides.size() == 2 && dilations.size() == 2 && pads.size() == 4,
               "strides, dilations and pads for each size");
  const Shape shape = call.type(0).shape;
  int64_t whole[2], size[2];
  for (size_t i = 0; i < 2; ++i) {
    const int64_t input = shape[static_cast<int>(2 + i)];
    constexpr int64_t kMost = 1 << 20;
    for (int64_t value : {strides[i], dilations[i], kernel[i]}) {
      call.require(value >= 1 && value <= kMost, "a kernel, strides and dilations of at least 1");
    }
    call.require(input > 0 && input <= kMost && extra[i] >= 0 && extra[i] < strides[i] &&
                     pads[i] >= 0 && pads[i] <= kMost && pads[2 + i] >= 0 && pads[2 + i] <= kMost,
                 "known sizes, pads of at least 0 and an output_padding below the stride");
    const int64_t reach = (input - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1;
    size[i] = reach - pads[i] - pads[2 + i] + extra[i];
    whole[i] = std::max(reach, pads[i] + size[i]);
    call.require(size[i] > 0 && whole[i] - reach < strides[i], "pads within the output");
  }
  const Windows none;
  Value y =
      ops::conv2d_transpose(call.channels_last(0), filter_of(call, 1, none), whole[0], whole[1],
                            {.stride_h = strides[0],
                             .stride_w = strides[1],
                             .dilation_h = dilations[0],
                             .dilation_w = dilations[1],
                             .groups = call.integer("group", 1)});
  if (whole[0] != size[0] || whole[1] != size[1]) {
    y = ops::slice(y, {0, pads[0], pads[1], 0}, {-1, size[0], size[1], -1});
  }
  return {call.result_channels_last(with_bias(call, 2, y))};
}

// With ceil_mode a window may reach over the end: what it lacks is added there.
void add_ceiling(OnnxCall& call, Windows& w) {
  if (call.integer("ceil_mode", 0) == 0) return;
  const Shape shape = call.type(0).shape;
  for (int i = w.is_row ? 1 : 0; i < 2; ++i) {
    const int64_t input = shape[w.is_row ? 2 : 2 + i];
    call.require(input > 0 && w.padding == ops::Padding::kValid, "known sizes, for ceil_mode");
    const int64_t padded = input + w.before[i] + w.after[i];
    int64_t count = (padded - w.size[i] + w.strides[i] - 1) / w.strides[i] + 1;
    if ((count - 1) * w.strides[i] >= input + w.before[i]) --count;
    w.after[i] += std::max<int64_t>(0, (count - 1) * w.strides[i] + w.size[i] - padded);
  }
}

ops::Pool2dOptions pool_options(const Windows& w) {
  return {.window_h = w.size[0],
          .window_w = w.size[1],
          .stride_h = w.strides[0],
          .stride_w = w.strides[1],
          .padding = w.padding};
}

Windows pool_windows(OnnxCall& call) {
  Windows w = windows_of(call, call.integers("kernel_shape"));
  call.require(w.dilations[0] == 1 && w.dilations[1] == 1, "windows without dilation");
  return w;
}

OnnxResults max_pool(OnnxCall& call) {
  call.require(!call.has_output(1), "the largest numbers only, not their places");
  Windows w = pool_windows(call);
  add_ceiling(call, w);
  Value x = image(call, w);
  if (w.has_padding()) {
    // Padding never wins, so it is the lowest number.
    const Value is_there = padded(ops::fill_like(x, 1), w), zero = padded(x, w);
    x = ops::select(ops::greater(is_there, ops::fill_like(is_there, 0)), zero,
                    ops::fill_like(zero, -std::numeric_limits<double>::infinity()));
  }
  return {give(call, w, ops::max_pool2d(x, pool_options(w)))};
}

OnnxResults average_pool(OnnxCall& call) {
  Windows w = pool_windows(call);
  const bool counts_pads = call.integer("count_include_pad", 0) != 0;
  const bool is_same = w.padding == ops::Padding::kSame;
  const Value x = image(call, w);
  if (counts_pads && is_same) {
    // Ours leaves padding out: added by hand, it counts.
    const Shape shape = call.type(0).shape;
    for (int i = w.is_row ? 1 : 0; i < 2; ++i) {
      const int64_t input = shape[w.is_row ? 2 : 2 + i];
      call.require(input > 0, "known sizes");
      const WindowAxis same = window_axis(input, w.size[i], w.strides[i], 1, "SAME");
      w.before[i] = same.before;
      w.after[i] = same.after;
    }
    w.padding = ops::Padding::kValid;
  }
  const bool ceil = call.integer("ceil_mode", 0) != 0;
  call.require(!(ceil && counts_pads && w.has_padding()), "no ceil_mode where padding counts, too");
  if (!counts_pads || !w.has_padding()) {
    if (!is_same) add_ceiling(call, w);
    if (w.has_padding()) {
      const Value sums = ops::avg_pool2d(padded(x, w), pool_options(w));
      const Value shares = ops::avg_pool2d(padded(ops::fill_like(x, 1), w), pool_options(w));
      return {give(call, w, sums / shares)};
    }
  }
  return {give(call, w, ops::avg_pool2d(padded(x, w), pool_options(w)))};
}

template <Value (*function)(Value, ops::Axes, bool)>
OnnxResults global_pool(OnnxCall& call) {
  if (call.rank(0) == 4) {
    return {call.result_channels_last(function(call.channels_last(0), {1, 2}, true))};
  }
  ops::Axes axes;
  for (int i = 2; i < call.rank(0); ++i) axes.push_back(i);
  call.require(!axes.empty(), "an input [batch, channels, …]");
  return {call.result(function(call.value(0), axes, true))};
}

// --- normalisation

// One number a channel, for x with its channels along axis 1.
Value by_channel(Value numbers, int rank) {
  Shape shape = {numbers.shape()[0]};
  for (int i = 2; i < rank; ++i) shape.push_back(1);
  return rank <= 2 ? numbers : ops::reshape(numbers, shape);
}

OnnxResults batch_norm(OnnxCall& call) {
  call.require(call.integer("training_mode", 0) == 0, "a normalisation with known statistics");
  const bool last = call.rank(0) == 4;
  const Value x = last ? call.channels_last(0) : call.value(0);
  const Value variance = call.value(4);
  const Value scale =
      call.value(1) * ops::rsqrt(variance + number(variance, call.number("epsilon", 1e-5)));
  const Value shift = call.value(2) - call.value(3) * scale;
  if (last) return {call.result_channels_last(x * scale + shift)};
  const int rank = call.rank(0);
  return {call.result(x * by_channel(scale, rank) + by_channel(shift, rank))};
}

Value normalized(Value x, const ops::Axes& axes, double epsilon) {
  const Value centered = x - ops::mean(x, axes, true);
  const Value variance = ops::mean(ops::square(centered), axes, true);
  return centered * ops::rsqrt(variance + number(variance, epsilon));
}

OnnxResults instance_norm(OnnxCall& call) {
  const double epsilon = call.number("epsilon", 1e-5);
  if (call.rank(0) == 4) {
    const Value y = normalized(call.channels_last(0), {1, 2}, epsilon);
    return {call.result_channels_last(y * call.value(1) + call.value(2))};
  }
  const int rank = call.rank(0);
  ops::Axes axes;
  for (int i = 2; i < rank; ++i) axes.push_back(i);
  call.require(!axes.empty(), "an input [batch, channels, …]");
  return {call.result(normalized(call.value(0), axes, epsilon) * by_channel(call.value(1), rank) +
                      by_channel(call.value(2), rank))};
}

OnnxResults layer_norm(OnnxCall& call) {
  const int rank = call.rank(0);
  const int64_t axis = call.axis(call.integer("axis", -1), rank);
  const double epsilon = call.number("epsilon", 1e-5);
  const Value x = call.value(0), gamma = call.value(1);
  const bool is_row =
      axis == rank - 1 && gamma.shape().rank() == 1 && gamma.shape()[0] == x.shape().dim(-1);
  if (is_row) {
    const Value beta = call.has(2) ? call.value(2) : ops::zeros_like(gamma);
    return {call.result(ops::layer_norm(x, gamma, beta, epsilon))};
  }
  ops::Axes axes;
  for (int64_t i = axis; i < rank; ++i) axes.push_back(i);
  Value y = normalized(x, axes, epsilon) * gamma;
  if (call.has(2)) y = y + call.value(2);
  return {call.result(y)};
}

template <Value (*function)(Value)>
OnnxResults softmax(OnnxCall& call) {
  const int rank = call.rank(0);
  const int64_t axis = call.axis(call.integer("axis", call.opset() < 13 ? 1 : -1), rank);
  const Value x = call.value(0);
  if (axis == rank - 1) return {call.result(function(x))};
  // Until version 12 all axes from `axis` on were one.
  call.require(call.opset() >= 13, "a softmax over the last axis");
  ops::Axes order;
  for (int64_t i = 0; i < rank; ++i) order.push_back(i);
  std::swap(order[static_cast<size_t>(axis)], order.back());
  return {call.result(ops::transpose(function(ops::transpose(x, order)), order))};
}

constexpr OnnxImportRow kRows[] = {
    {"MatMul", matmul},
    {"Gemm", gemm},
    {"Einsum", einsum},
    {"Conv", conv},
    {"ConvTranspose", conv_transpose},
    {"MaxPool", max_pool},
    {"AveragePool", average_pool},
    {"GlobalAveragePool", global_pool<ops::mean>},
    {"GlobalMaxPool", global_pool<ops::max>},
    {"BatchNormalization", batch_norm},
    {"InstanceNormalization", instance_norm},
    {"LayerNormalization", layer_norm},
    {"Softmax", softmax<ops::softmax>},
    {"LogSoftmax", softmax<ops::log_softmax>},
};

}  // namespace

std::span<const OnnxImportRow> onnx_layer_imports() { return kRows; }

}  // namespace trireme::formats
