// From a program for known shapes to the instructions of a plan. Private to the runtime.
#pragma once

#include <vector>

#include "core/passes/program.h"
#include "core/runtime/plan.h"

namespace trireme {

// What a plan consists of; locations are final, addresses are bound by the plan.
struct PlanDraft {
  std::vector<Instruction> instructions;
  std::vector<Location> fetches;
  std::vector<TensorType> fetch_types;
  std::vector<Tensor> constants;    // whose memory kFixed locations mean
  std::vector<size_t> arena_bytes;  // by device
  std::vector<ArenaValue> values;   // that live there
  size_t unshared_bytes = 0;        // of all values, if none shared memory
};

// Throws Error that lists every missing kernel, and invalid_argument when the shapes do not fit.
PlanDraft draft_plan(const Program& program, const std::vector<TensorType>& feed_types,
                     const DeviceSet& devices, const KernelTable& kernels,
                     VariableStore& variables);

}  // namespace trireme
