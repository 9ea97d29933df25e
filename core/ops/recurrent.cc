// Recurrences over a sequence as one op each, forward and backward. At a step whose mask is false
// the state is that of the step before, and gates are 0.
//
// The weights' gradients are products over all steps at once, which the gradient rules build. The
// backward ops cannot be differentiated again: their rules say so.
#include "core/ops/recurrent.h"

#include "core/base/error.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

using ops::Types;

// The inputs of a recurrent op in their order, of which some may be absent.
class Inputs {
 public:
  explicit Inputs(int first = 0) : next_(first) {}
  int take() { return next_++; }
  int take_if(bool is_there) { return is_there ? next_++ : -1; }
  int count() const { return next_; }

 private:
  int next_;
};

int64_t units_of(const InferenceContext& c, int kernel, int64_t gates) {
  const Shape& shape = c.shape(kernel);
  const bool fits = shape.rank() == 2 && shape[1] > 0 && shape[1] % gates == 0 &&
                    (shape[0] < 0 || gates * shape[0] == shape[1]);
  c.require(fits, gates == 1 ? "a kernel [units, units]"
                             : str_cat("a kernel [units, ", gates, "·units]"));
  return shape[1] / gates;
}

void require_sequence(const InferenceContext& c, int input, int64_t width) {
  const Shape& x = c.shape(input);
  c.require(x.rank() == 3 && x[1] > 0 && x[2] == width,
            str_cat("a sequence [batch, time, ", width, "] of a known, positive number of steps"));
}

// What comes behind the sequence and the kernel: states [batch, units] and a mask.
void require_rest(const InferenceContext& c, int states, int first_state, int mask, int count,
                  int64_t units) {
  c.require(c.input_count() == count, str_cat(count, " inputs for these attributes"));
  const Shape& x = c.shape(0);
  for (int i = 0; i < count; ++i) {
    if (i == mask) continue;
    c.require(c.dtype(i) == c.dtype(0), "inputs of one dtype, but for the mask");
  }
  for (int i = first_state; first_state >= 0 && i < first_state + states; ++i) {
    c.require(compatible(c.shape(i), {x[0], units}), str_cat("a state [batch, ", units, "]"));
  }
  if (mask >= 0) {
    c.require(c.dtype(mask) == DType::kBool && compatible(c.shape(mask), x.first(2)),
              "a mask bool [batch, time]");
  }
}

Shape with_width(const Shape& sequence, int64_t width) { return {sequence[0], sequence[1], width}; }

AttributeDef flag(const char* name) { return attribute<bool>(name); }

// The states that the steps began with: `states`, one step later, and `first` (undefined: 0).
Value states_before(Value states, Value first, bool reverse) {
  const int64_t steps = states.shape()[1];
  const Value others = ops::slice(states, {0, reverse ? 1 : 0, 0}, {-1, steps - 1, -1});
  if (!first.defined()) {
    return reverse ? ops::pad(others, {0, 0, 0}, {0, 1, 0})
                   : ops::pad(others, {0, 1, 0}, {0, 0, 0});
  }
  const Value initial = ops::expand_dims(first, {1});
  return ops::concat(reverse ? std::vector{others, initial} : std::vector{initial, others}, 1);
}

// Σ over all examples and steps of aᵀ·b: [a's width, b's width].
Value product_over_steps(Value a, Value b) {
  return ops::matmul(ops::reshape(a, {-1, a.shape().dim(-1)}),
                     ops::reshape(b, {-1, b.shape().dim(-1)}), true, false);
}

[[noreturn]] void refuse_second_derivative(std::string_view op) {
  throw invalid_argument(op,
                         ": a recurrence over a sequence cannot be differentiated twice; "
                         "build its steps of single ops to do that");
}

OpDef backward_op(std::string name, std::vector<AttributeDef> attributes,
                  std::function<Types(const InferenceContext&)> infer, int min_inputs,
                  int max_inputs) {
  return {.name = name,
          .min_inputs = min_inputs,
          .max_inputs = max_inputs,
          .attributes = std::move(attributes),
          .infer = std::move(infer),
          .gradient = [name](GradientContext&) { refuse_second_derivative(name); },
          .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true}};
}

// --- LSTM

// i, f, o = sigmoid of x_t + h_{t-1}·kernel, g = tanh of it, in the order i, f, g, o;
// c_t = f·c_{t-1} + i·g;  h_t = o·tanh(c_t).
// Inputs: x [batch, time, 4·units], kernel [units, 4·units]; with has_state h and c before the
// first step, [batch, units]; with has_mask a mask bool [batch, time]. Outputs: the gates [batch,
// time, 4·units], and h and c of each step, [batch, time, units].
OpDef lstm() {
  return {
      .name = "Lstm",
      .min_inputs = 2,
      .max_inputs = 5,
      .attributes = {flag("has_state"), flag("has_mask"), flag("reverse")},
      .infer = [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 1, 4);
        require_sequence(c, 0, 4 * units);
        Inputs inputs(2);
        const bool has_state = c.attribute<bool>("has_state");
        const int state = inputs.take_if(has_state);
        inputs.take_if(has_state);
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 2, state, mask, inputs.count(), units);
        const TensorType steps{c.dtype(0), with_width(c.shape(0), units)};
        return {c.input(0), steps, steps};
      },
      .gradient =
          [](GradientContext& g) {
            const bool has_state = g.attribute<bool>("has_state"),
                       has_mask = g.attribute<bool>("has_mask"),
                       reverse = g.attribute<bool>("reverse");
            const Value h = g.output(1), c = g.output(2);
            std::vector<Value> inputs = {g.output(0), c, g.input(1)};
            if (has_state) inputs.push_back(g.input(3));
            inputs.push_back(g.has_grad_of_output(1) ? g.grad_of_output(1) : ops::zeros_like(h));
            if (g.has_grad_of_output(2)) inputs.push_back(g.grad_of_output(2));
            if (g.has_grad_of_output(0)) inputs.push_back(g.grad_of_output(0));
            if (has_mask) inputs.push_back(g.input(has_state ? 4 : 2));
            Node& grad = g.graph().add("LstmGrad", inputs,
                                       {{"has_state", has_state},
                                        {"has_mask", has_mask},
                                        {"has_dc", g.has_grad_of_output(2)},
                                        {"has_dgates", g.has_grad_of_output(0)},
                                        {"reverse", reverse}});
            g.set_grad(0, grad.output(0));
            const Value before = states_before(h, has_state ? g.input(2) : Value{}, reverse);
            g.set_grad(1, product_over_steps(before, grad.output(0)));
            if (!has_state) return;
            g.set_grad(2, grad.output(1));
            g.set_grad(3, grad.output(2));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

// The gradients of an Lstm for x and, with has_state, for h and c before the first step. Inputs:
// gates and c as it gave them, kernel, with has_state c before the first step, dh; with has_dc and
// has_dgates the gradients of c and of the gates, which are 0 otherwise; the mask.
OpDef lstm_grad() {
  return backward_op(
      "LstmGrad",
      {flag("has_state"), flag("has_mask"), flag("has_dc"), flag("has_dgates"), flag("reverse")},
      [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 2, 4);
        require_sequence(c, 0, 4 * units);
        require_sequence(c, 1, units);
        Inputs inputs(3);
        const bool has_state = c.attribute<bool>("has_state");
        const int state = inputs.take_if(has_state);
        require_sequence(c, inputs.take(), units);
        if (c.attribute<bool>("has_dc")) require_sequence(c, inputs.take(), units);
        if (c.attribute<bool>("has_dgates")) require_sequence(c, inputs.take(), 4 * units);
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 1, state, mask, inputs.count(), units);
        const TensorType of_state{c.dtype(0), {c.shape(0)[0], units}};
        if (!has_state) return {c.input(0)};
        return {c.input(0), of_state, of_state};
      },
      4, 8);
}

// --- GRU

// z, r = sigmoid of x_t + h_{t-1}·kernel (+ bias), in the order z, r, g; the candidate is
//   with reset_after     g = tanh(x_t + r·inner), inner = h_{t-1}·kernel (+ bias)
//   without              g = tanh(x_t + inner·kernel), inner = r·h_{t-1}
// h_t = z·h_{t-1} + (1 − z)·g.
// Inputs: x [batch, time, 3·units], kernel [units, 3·units]; with has_bias a bias [3·units], of
// reset_after only; with has_state h before the first step [batch, units]; with has_mask a mask
// bool [batch, time]. Outputs: the gates [batch, time, 3·units], h and inner of each step, [batch,
// time, units].
OpDef gru() {
  return {
      .name = "Gru",
      .min_inputs = 2,
      .max_inputs = 5,
      .attributes = {flag("reset_after"), flag("has_bias"), flag("has_state"), flag("has_mask"),
                     flag("reverse")},
      .infer = [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 1, 3);
        require_sequence(c, 0, 3 * units);
        Inputs inputs(2);
        const int bias = inputs.take_if(c.attribute<bool>("has_bias"));
        if (bias >= 0) {
          c.require(c.attribute<bool>("reset_after"), "has_bias with reset_after only");
          c.require(compatible(c.shape(bias), {3 * units}), str_cat("a bias [", 3 * units, "]"));
        }
        const int state = inputs.take_if(c.attribute<bool>("has_state"));
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 1, state, mask, inputs.count(), units);
        const TensorType steps{c.dtype(0), with_width(c.shape(0), units)};
        return {c.input(0), steps, steps};
      },
      .gradient =
          [](GradientContext& g) {
            const bool has_bias = g.attribute<bool>("has_bias"),
                       has_state = g.attribute<bool>("has_state"),
                       has_mask = g.attribute<bool>("has_mask"),
                       reverse = g.attribute<bool>("reverse"),
                       reset_after = g.attribute<bool>("reset_after");
            Inputs positions(2);
            positions.take_if(has_bias);
            const int state = positions.take_if(has_state), mask = positions.take_if(has_mask);
            const Value h = g.output(1), inner = g.output(2);
            std::vector<Value> inputs = {g.output(0), h, inner, g.input(1)};
            if (has_state) inputs.push_back(g.input(state));
            inputs.push_back(g.has_grad_of_output(1) ? g.grad_of_output(1) : ops::zeros_like(h));
            if (g.has_grad_of_output(2)) inputs.push_back(g.grad_of_output(2));
            if (g.has_grad_of_output(0)) inputs.push_back(g.grad_of_output(0));
            if (has_mask) inputs.push_back(g.input(mask));
            Node& grad = g.graph().add("GruGrad", inputs,
                                       {{"reset_after", reset_after},
                                        {"has_state", has_state},
                                        {"has_mask", has_mask},
                                        {"has_dinner", g.has_grad_of_output(2)},
                                        {"has_dgates", g.has_grad_of_output(0)},
                                        {"reverse", reverse}});
            const Value dx = grad.output(0), dinner = grad.output(1);
            g.set_grad(0, dx);
            const int64_t units = h.shape()[2];
            const Value before = states_before(h, has_state ? g.input(state) : Value{}, reverse);
            const Value of_gates = ops::slice(dx, {0, 0, 0}, {-1, -1, 2 * units});
            if (reset_after) {
              const Value recurrent = ops::concat({of_gates, dinner}, 2);
              g.set_grad(1, product_over_steps(before, recurrent));
              if (has_bias) g.set_grad(2, ops::sum(recurrent, {0, 1}));
            } else {
              const Value of_candidate = ops::slice(dx, {0, 0, 2 * units}, {-1, -1, units});
              g.set_grad(1, ops::concat({product_over_steps(before, of_gates),
                                         product_over_steps(inner, of_candidate)},
                                        1));
            }
            if (has_state) g.set_grad(state, grad.output(2));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

// The gradients of a Gru for x, for inner and, with has_state, for h before the first step. Inputs:
// gates, h and inner as it gave them, kernel, with has_state h before the first step, dh; with
// has_dinner and has_dgates the gradients of inner and of the gates, which are 0 otherwise; the
// mask.
OpDef gru_grad() {
  return backward_op(
      "GruGrad",
      {flag("reset_after"), flag("has_state"), flag("has_mask"), flag("has_dinner"),
       flag("has_dgates"), flag("reverse")},
      [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 3, 3);
        require_sequence(c, 0, 3 * units);
        require_sequence(c, 1, units);
        require_sequence(c, 2, units);
        Inputs inputs(4);
        const int state = inputs.take_if(c.attribute<bool>("has_state"));
        require_sequence(c, inputs.take(), units);
        if (c.attribute<bool>("has_dinner")) require_sequence(c, inputs.take(), units);
        if (c.attribute<bool>("has_dgates")) require_sequence(c, inputs.take(), 3 * units);
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 1, state, mask, inputs.count(), units);
        Types types = {c.input(0), {c.dtype(0), with_width(c.shape(0), units)}};
        if (state >= 0) types.push_back({c.dtype(0), {c.shape(0)[0], units}});
        return types;
      },
      5, 9);
}

// --- the simple recurrence

AttributeDef activation_attribute() {
  return attribute<std::string>("activation").one_of({"none", "relu", "sigmoid", "tanh"});
}

// h_t = activation(x_t + h_{t-1}·kernel). Inputs: x [batch, time, units], kernel [units, units];
// with has_state h before the first step [batch, units]; with has_mask a mask bool [batch, time].
OpDef simple_rnn() {
  return {
      .name = "SimpleRnn",
      .min_inputs = 2,
      .max_inputs = 4,
      .attributes = {activation_attribute(), flag("has_state"), flag("has_mask"), flag("reverse")},
      .infer = [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 1, 1);
        require_sequence(c, 0, units);
        Inputs inputs(2);
        const int state = inputs.take_if(c.attribute<bool>("has_state"));
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 1, state, mask, inputs.count(), units);
        return {c.input(0)};
      },
      .gradient =
          [](GradientContext& g) {
            const bool has_state = g.attribute<bool>("has_state"),
                       has_mask = g.attribute<bool>("has_mask"),
                       reverse = g.attribute<bool>("reverse");
            std::vector<Value> inputs = {g.grad_of_output(), g.output(0), g.input(1)};
            if (has_mask) inputs.push_back(g.input(has_state ? 3 : 2));
            Node& grad = g.graph().add("SimpleRnnGrad", inputs,
                                       {{"activation", g.attribute<std::string>("activation")},
                                        {"has_state", has_state},
                                        {"has_mask", has_mask},
                                        {"reverse", reverse}});
            g.set_grad(0, grad.output(0));
            const Value before =
                states_before(g.output(0), has_state ? g.input(2) : Value{}, reverse);
            g.set_grad(1, product_over_steps(before, grad.output(0)));
            if (has_state) g.set_grad(2, grad.output(1));
          },
      .traits = {.in_place_inputs = {0}, .has_small_by_f32 = true},
  };
}

// The gradients of a SimpleRnn for x and, with has_state, for h before the first step. Inputs: dh,
// h as it gave it, kernel; the mask.
OpDef simple_rnn_grad() {
  return backward_op(
      "SimpleRnnGrad",
      {activation_attribute(), flag("has_state"), flag("has_mask"), flag("reverse")},
      [](const InferenceContext& c) -> Types {
        c.require_floating();
        const int64_t units = units_of(c, 2, 1);
        require_sequence(c, 0, units);
        require_sequence(c, 1, units);
        Inputs inputs(3);
        const int mask = inputs.take_if(c.attribute<bool>("has_mask"));
        require_rest(c, 0, -1, mask, inputs.count(), units);
        if (!c.attribute<bool>("has_state")) return {c.input(0)};
        return {c.input(0), {c.dtype(0), {c.shape(0)[0], units}}};
      },
      3, 4);
}

}  // namespace

void register_recurrent_ops(OpTable& table) {
  table.add(lstm());
  table.add(lstm_grad());
  table.add(gru());
  table.add(gru_grad());
  table.add(simple_rnn());
  table.add(simple_rnn_grad());
}

namespace ops {
namespace {

void add_state_and_mask(const RecurrentOptions& options, std::vector<Value>& inputs,
                        Attributes& attributes) {
  if (options.state.defined()) inputs.push_back(options.state);
  if (options.cell.defined()) inputs.push_back(options.cell);
  if (options.mask.defined()) inputs.push_back(options.mask);
  attributes.set("has_state", options.state.defined());
  attributes.set("has_mask", options.mask.defined());
  attributes.set("reverse", options.reverse);
}

void refuse_cell(const RecurrentOptions& options, std::string_view op) {
  if (options.cell.defined()) throw invalid_argument(op, ": only an LSTM has a cell state");
}

}  // namespace

LstmOutputs lstm(Value x, Value kernel, const RecurrentOptions& options) {
  if (options.state.defined() != options.cell.defined()) {
    throw invalid_argument("Lstm: expected both states before the first step, or neither");
  }
  std::vector<Value> inputs = {x, kernel};
  Attributes attributes;
  add_state_and_mask(options, inputs, attributes);
  Node& node = x.graph().add("Lstm", inputs, attributes);
  return {node.output(1), node.output(2)};
}

Value gru(Value x, Value kernel, Value bias, bool reset_after, const RecurrentOptions& options) {
  refuse_cell(options, "Gru");
  std::vector<Value> inputs = {x, kernel};
  if (bias.defined()) inputs.push_back(bias);
  Attributes attributes{{"reset_after", reset_after}, {"has_bias", bias.defined()}};
  add_state_and_mask(options, inputs, attributes);
  return x.graph().add("Gru", inputs, attributes).output(1);
}

Value simple_rnn(Value x, Value kernel, const std::string& activation,
                 const RecurrentOptions& options) {
  refuse_cell(options, "SimpleRnn");
  std::vector<Value> inputs = {x, kernel};
  Attributes attributes{{"activation", activation}};
  add_state_and_mask(options, inputs, attributes);
  return x.graph().add("SimpleRnn", inputs, attributes).output();
}

Value last_step(Value sequence, bool reverse) {
  const Shape& shape = sequence.shape();
  if (shape.rank() < 2 || shape[1] < 1) {
    throw invalid_argument(
        "last_step: expected a sequence [batch, time, …] of a known, positive "
        "number of steps, found ",
        sequence.type());
  }
  std::vector<int64_t> begin(static_cast<size_t>(shape.rank()), 0);
  std::vector<int64_t> size(static_cast<size_t>(shape.rank()), -1);
  begin[1] = reverse ? 0 : shape[1] - 1;
  size[1] = 1;
  return squeeze(slice(sequence, begin, size), {1});
}

Value mask_of_lengths(Value lengths, int64_t time) {
  std::vector<int64_t> steps(static_cast<size_t>(time));
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<int64_t>(i);
  const Value all = constant(lengths.graph(), Tensor::from<int64_t>({1, time}, steps));
  return less(all, expand_dims(cast(lengths, DType::kInt64), {1}));
}

}  // namespace ops
}  // namespace trireme
