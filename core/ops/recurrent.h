// Recurrences over sequences, one op for all steps: LSTM (Hochreiter and Schmidhuber 1997), GRU
// (Cho et al. 2014) and the simple recurrence, with the gates, their order and the layout of the
// kernels that Keras has. Each takes the projections of its inputs, x·W + b of all steps, which is
// one product before it.
//
// The ops are defined in recurrent.cc; what a step computes stands there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/ops/ops.h"

namespace trireme::ops {

struct RecurrentOptions {
  // [batch, units] before the first step; undefined: zeros. `cell` is of an LSTM, and both are
  // given or neither.
  Value state, cell;
  // bool [batch, time]: where false the state stays as it is, and the step gives it again.
  // Undefined: every step counts.
  Value mask;
  // From the last step to the first. Outputs stand at the time of their input all the same.
  bool reverse = false;
};

struct LstmOutputs {
  Value h, c;  // of each step, [batch, time, units]
};
// x: [batch, time, 4·units]; kernel: [units, 4·units], both in the order i, f, c, o.
LstmOutputs lstm(Value x, Value kernel, const RecurrentOptions& options = {});

// x: [batch, time, 3·units]; kernel: [units, 3·units], both in the order z, r, h. With
// `reset_after` the reset gate is applied to the product, to which `bias` [3·units], if defined, is
// added before; else to the state before the product, and there is no such bias.
Value gru(Value x, Value kernel, Value bias, bool reset_after,
          const RecurrentOptions& options = {});

// activation(x + h·kernel). x: [batch, time, units]; kernel: [units, units]; activation: "tanh",
// "relu", "sigmoid" or "none".
Value simple_rnn(Value x, Value kernel, const std::string& activation,
                 const RecurrentOptions& options = {});

// What the last step that was computed gives, of the outputs of the functions above: [batch, ...].
Value last_step(Value sequence, bool reverse = false);

// bool [batch, time] of whole numbers [batch]: the first lengths[i] steps of example i.
Value mask_of_lengths(Value lengths, int64_t time);

// --- recurrences of one's own (scan.cc)

inline constexpr int64_t kMostScanSteps = 1024;

struct ScanStep {
  std::vector<Value> states;  // as many as there were, of their types
  Value output;               // [batch, …]; undefined: none, at every step
};
// From the states before a step and that step of each sequence: [batch, …].
using ScanBody =
    std::function<ScanStep(const std::vector<Value>& states, const std::vector<Value>& inputs)>;

struct ScanOutputs {
  std::vector<Value> states;  // after the last step
  Value outputs;              // of all steps, [batch, time, …]; undefined without any
};
// `body` once for each step of the sequences [batch, time, …], which begins with `initial`. The
// steps are built one after another, with gradients of any order; so there are at most
// kMostScanSteps, and of a known number. `mask` and `reverse` as in RecurrentOptions; a step that
// is left out gives the output of the one before, and the first ones zeros. Throws
// Error{kInvalidArgument} for what does not fit.
ScanOutputs scan(const std::vector<Value>& initial, const std::vector<Value>& sequences,
                 const ScanBody& body, Value mask = {}, bool reverse = false);

}  // namespace trireme::ops
