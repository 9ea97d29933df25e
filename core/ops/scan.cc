// A loop over the steps of sequences, built step by step.
#include "core/base/error.h"
#include "core/ops/recurrent.h"

namespace trireme::ops {
namespace {

int64_t steps_of(const std::vector<Value>& sequences) {
  if (sequences.empty()) throw invalid_argument("scan: expected at least one sequence, found none");
  for (const Value& sequence : sequences) {
    const Shape& shape = sequence.shape();
    if (shape.rank() < 2 || shape[1] < 1 || shape[1] != sequences[0].shape()[1]) {
      throw invalid_argument("scan: expected sequences [batch, time, …] of one known, positive ",
                             "number of steps, found ", sequence.type());
    }
  }
  const int64_t steps = sequences[0].shape()[1];
  if (steps > kMostScanSteps) {
    throw invalid_argument("scan: expected at most ", kMostScanSteps,
                           " steps, which are built one by one, found ", steps,
                           "; ops::lstm, gru and simple_rnn have no such limit");
  }
  return steps;
}

Value step_of(Value sequence, int64_t at) {
  std::vector<int64_t> begin(static_cast<size_t>(sequence.shape().rank()), 0);
  std::vector<int64_t> size(begin.size(), -1);
  begin[1] = at;
  size[1] = 1;
  return squeeze(slice(sequence, begin, size), {1});
}

// `after` where the step is there, else `before`. is_there: bool [batch].
Value held(Value is_there, Value after, Value before) {
  Axes axes;
  for (int i = 1; i < after.shape().rank(); ++i) axes.push_back(i);
  return select(axes.empty() ? is_there : expand_dims(is_there, axes), after, before);
}

}  // namespace

ScanOutputs scan(const std::vector<Value>& initial, const std::vector<Value>& sequences,
                 const ScanBody& body, Value mask, bool reverse) {
  const int64_t steps = steps_of(sequences);
  std::vector<Value> states = initial, outputs(static_cast<size_t>(steps));
  Value last;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t at = reverse ? steps - 1 - step : step;
    std::vector<Value> inputs;
    for (const Value& sequence : sequences) inputs.push_back(step_of(sequence, at));
    ScanStep made = body(states, inputs);
    if (made.states.size() != states.size() ||
        (step > 0 && last.defined() != made.output.defined())) {
      throw invalid_argument("scan: step ", step, ": expected ", states.size(),
                             " states, and an output at every step or at none, found ",
                             made.states.size(), " states",
                             made.output.defined() ? " and an output" : "");
    }
    for (size_t i = 0; i < states.size(); ++i) {
      if (made.states[i].dtype() == states[i].dtype() &&
          compatible(made.states[i].shape(), states[i].shape())) {
        continue;
      }
      throw invalid_argument("scan: step ", step, ": expected state ", i, " to stay ",
                             states[i].type(), ", found ", made.states[i].type());
    }
    if (mask.defined()) {
      const Value is_there = step_of(mask, at);
      for (size_t i = 0; i < states.size(); ++i) {
        made.states[i] = held(is_there, made.states[i], states[i]);
      }
      if (made.output.defined()) {
        made.output = held(is_there, made.output, step == 0 ? zeros_like(made.output) : last);
      }
    }
    states = std::move(made.states);
    last = made.output;
    if (last.defined()) outputs[static_cast<size_t>(at)] = expand_dims(last, {1});
  }
  return {states, last.defined() ? concat(outputs, 1) : Value{}};
}

}  // namespace trireme::ops
