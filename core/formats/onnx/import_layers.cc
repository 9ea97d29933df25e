// ONNX's products, convolutions, pools, normalisations and recurrences as ours.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/images.h"
#include "core/ops/layer_norm.h"
#include "core/ops/ops.h"
#include "core/ops/recurrent.h"
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

// --- recurrences: [time, batch, …], one or two directions

constexpr int64_t kMostSteps = 1 << 20;

struct Direction {
  Value x, kernel, recurrent;  // [batch, time, in], [in, gates·units], [units, gates·units]
  Value bias, recurrent_bias;  // [gates·units]; undefined: none
  ops::RecurrentOptions options;
};

class Recurrence {
 public:
  Recurrence(OnnxCall& call, int64_t gates, bool has_cell) : call_(call), gates_(gates) {
    units_ = call.integer("hidden_size", call.type(2).shape.dim(-1));
    batch_first_ = call.integer("layout", 0) != 0;
    const std::string way = call.text("direction", "forward");
    call.require(way == "forward" || way == "reverse" || way == "bidirectional",
                 "a direction forward, reverse or bidirectional");
    call.require(call.attribute("clip") == nullptr && call.integer("input_forget", 0) == 0 &&
                     !call.has(7) && call.rank(0) == 3,
                 "a recurrence [time, batch, in] without clip, input_forget and peepholes");
    const Value x = batch_first_ ? call.value(0) : ops::transpose(call.value(0), {1, 0, 2});
    time_ = x.shape()[1];
    call.require(time_ > 0 && time_ <= kMostSteps,
                 str_cat("a known number of steps, at most ", kMostSteps));
    if (call.has(4) && !all_steps()) mask_ = ops::mask_of_lengths(call.value(4), time_);
    const int64_t count = way == "bidirectional" ? 2 : 1;
    const Shape kernel = call.type(1).shape;
    call.require(kernel.rank() == 3 && kernel[0] == count && kernel[1] == gates * units_,
                 "a kernel [directions, gates·units, in]");
    for (int64_t i = 0; i < count; ++i) {
      Direction d;
      d.x = x;
      d.kernel = matrix(1, i);
      d.recurrent = matrix(2, i);
      if (call.has(3)) {
        const Value both = part(3, i);
        d.bias = ops::slice(both, {0}, {gates * units_});
        d.recurrent_bias = ops::slice(both, {gates * units_}, {gates * units_});
      }
      d.options.mask = mask_;
      d.options.reverse = way == "reverse" || i == 1;
      if (call.has(5)) d.options.state = state(5, i);
      if (has_cell && (call.has(5) || call.has(6))) {
        d.options.cell = call.has(6) ? state(6, i) : ops::zeros_like(d.options.state);
        if (!d.options.state.defined()) d.options.state = ops::zeros_like(d.options.cell);
      }
      directions_.push_back(d);
    }
  }

  const std::vector<Direction>& directions() const { return directions_; }
  int64_t units() const { return units_; }

  // Of all steps, and after the last one, of the states [batch, time, units] of each direction.
  OnnxValue all(const std::vector<Value>& states) {
    std::vector<Value> made;
    for (Value h : states) {
      // A step behind the end of a sequence gives zeros.
      if (mask_.defined()) h = h * ops::cast(ops::expand_dims(mask_, {2}), h.dtype());
      made.push_back(batch_first_ ? h : ops::transpose(h, {1, 0, 2}));
    }
    return call_.result(ops::stack(made, batch_first_ ? 2 : 1));
  }
  OnnxValue last(const std::vector<Value>& states) {
    std::vector<Value> made;
    for (size_t i = 0; i < states.size(); ++i) {
      made.push_back(ops::last_step(states[i], directions_[i].options.reverse));
    }
    return call_.result(ops::stack(made, batch_first_ ? 1 : 0));
  }

 private:
  bool all_steps() const {
    if (!call_.is_known(4)) return false;
    const auto lengths = call_.ints(4);
    return std::ranges::all_of(lengths, [&](int64_t length) { return length == time_; });
  }
  Value part(int input, int64_t direction) {
    const Value whole = call_.value(input);
    Ints begin(static_cast<size_t>(whole.shape().rank()), 0), size(begin.size(), -1);
    begin[0] = direction;
    size[0] = 1;
    return ops::squeeze(ops::slice(whole, begin, size), {0});
  }
  Value matrix(int input, int64_t direction) {
    return ops::transpose(part(input, direction), {1, 0});
  }
  Value state(int input, int64_t direction) {
    if (!batch_first_) return part(input, direction);
    return ops::squeeze(ops::slice(call_.value(input), {0, direction, 0}, {-1, 1, -1}), {1});
  }

  OnnxCall& call_;
  int64_t gates_, units_ = 0, time_ = 0;
  bool batch_first_ = false;
  Value mask_;
  std::vector<Direction> directions_;
};

void require_activations(OnnxCall& call, std::initializer_list<const char*> expected) {
  const auto* const given = call.attribute("activations");
  if (given == nullptr) return;
  const auto count = static_cast<int>(expected.size());
  bool fits = count > 0 && given->strings_size() % count == 0;
  for (int i = 0; fits && i < given->strings_size(); ++i) {
    fits = given->strings(i) == *(expected.begin() + i % count);
  }
  call.require(fits, "the activations that the recurrence has by itself");
}

// Columns of gates in another order.
Value reordered(Value x, int64_t units, std::initializer_list<size_t> order) {
  const std::vector<Value> parts =
      ops::split(x, std::vector<int64_t>(order.size(), units), x.shape().rank() - 1);
  std::vector<Value> made;
  for (size_t gate : order) made.push_back(parts[gate]);
  return ops::concat(made, x.shape().rank() - 1);
}

Value projected(const Direction& d, Value kernel, Value bias) {
  const Value y = ops::matmul(d.x, kernel);
  return bias.defined() ? ops::bias_add(y, bias) : y;
}

OnnxResults lstm(OnnxCall& call) {
  require_activations(call, {"Sigmoid", "Tanh", "Tanh"});
  Recurrence r(call, 4, true);
  std::vector<Value> h, c;
  for (const Direction& d : r.directions()) {
    const auto ours = [&](Value x) { return reordered(x, r.units(), {0, 2, 3, 1}); };  // i, o, f, c
    const Value bias = d.bias.defined() ? ours(d.bias + d.recurrent_bias) : Value();
    const auto made = ops::lstm(projected(d, ours(d.kernel), bias), ours(d.recurrent), d.options);
    h.push_back(made.h);
    c.push_back(made.c);
  }
  OnnxResults results = {r.all(h)};
  if (call.has_output(1) || call.has_output(2)) results.push_back(r.last(h));
  if (call.has_output(2)) results.push_back(r.last(c));
  return results;
}

OnnxResults gru(OnnxCall& call) {
  require_activations(call, {"Sigmoid", "Tanh"});
  Recurrence r(call, 3, false);
  const bool reset_after = call.integer("linear_before_reset", 0) != 0;
  std::vector<Value> h;
  for (const Direction& d : r.directions()) {
    Value bias = d.bias;
    if (!reset_after && bias.defined()) bias = bias + d.recurrent_bias;
    h.push_back(ops::gru(projected(d, d.kernel, bias), d.recurrent,
                         reset_after ? d.recurrent_bias : Value(), reset_after, d.options));
  }
  OnnxResults results = {r.all(h)};
  if (call.has_output(1)) results.push_back(r.last(h));
  return results;
}

OnnxResults rnn(OnnxCall& call) {
  std::string activation = "Tanh";
  if (const auto* given = call.attribute("activations"); given != nullptr) {
    call.require(given->strings_size() > 0, "an activation");
    activation = given->strings(0);
    for (const std::string& other : given->strings()) {
      call.require(other == activation, "one activation for both directions");
    }
  }
  call.require(activation == "Tanh" || activation == "Relu" || activation == "Sigmoid",
               "an activation Tanh, Relu or Sigmoid");
  const std::string ours = activation == "Tanh"   ? "tanh"
                           : activation == "Relu" ? "relu"
                                                  : "sigmoid";
  Recurrence r(call, 1, false);
  std::vector<Value> h;
  for (const Direction& d : r.directions()) {
    const Value bias = d.bias.defined() ? d.bias + d.recurrent_bias : Value();
    h.push_back(ops::simple_rnn(projected(d, d.kernel, bias), d.recurrent, ours, d.options));
  }
  OnnxResults results = {r.all(h)};
  if (call.has_output(1)) results.push_back(r.last(h));
  return results;
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
    {"LSTM", lstm},
    {"GRU", gru},
    {"RNN", rnn},
};

}  // namespace

std::span<const OnnxImportRow> onnx_layer_imports() { return kRows; }

}  // namespace trireme::formats
