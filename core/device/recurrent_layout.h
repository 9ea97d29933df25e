// Where the inputs of the recurrent ops (core/ops/recurrent.cc) stand, and how their steps follow
// each other; for the kernels of all kinds of the host.
#pragma once

#include "core/device/kernel_spec.h"

namespace trireme {

// The steps of a sequence, in the order in which they are computed.
struct RecurrentSteps {
  int64_t batch, time, units;
  bool reverse;

  int64_t at(int64_t step) const { return reverse ? time - 1 - step : step; }
  // Row of step `step` of example `row` among batch·time.
  int64_t place(int64_t row, int64_t step) const { return row * time + at(step); }
};

inline RecurrentSteps recurrent_steps(const KernelSpec& spec, int states) {
  const Shape& shape = spec.outputs[static_cast<size_t>(states)].shape;
  return {shape[0], shape[1], shape[2], spec.attribute<bool>("reverse")};
}

// The optional inputs of a node one after another: each take() is the position of the next, or −1.
class OptionalInputs {
 public:
  OptionalInputs(const KernelSpec& spec, int first) : spec_(spec), next_(first) {}
  int take(std::string_view attribute) { return spec_.attribute<bool>(attribute) ? next_++ : -1; }
  int take() { return next_++; }

 private:
  const KernelSpec& spec_;
  int next_;
};

// Input `position`, null where it is -1.
template <typename T>
const T* optional_input(const KernelArgs& args, int position) {
  return position < 0 ? nullptr : args.in<T>(position);
}

}  // namespace trireme
