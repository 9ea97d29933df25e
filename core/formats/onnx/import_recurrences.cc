// ONNX's recurrences as ours: [time, batch, …], one or two directions.
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"
#include "core/ops/recurrent.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

using Kind = OnnxValue::Kind;

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
    {"LSTM", lstm},
    {"GRU", gru},
    {"RNN", rnn},
};

}  // namespace

std::span<const OnnxImportRow> onnx_recurrence_imports() { return kRows; }

}  // namespace trireme::formats
