// A Program: some nodes of a graph, prepared for inputs of known types and run one after the other.
// It is what a function of values is turned into at its first call with these types, and what a
// tape's gradient is.
//
// Running one allocates nothing once the memory that its outputs had is free again. One thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device/kernel_spec.h"
#include "core/eager/value.h"

namespace trireme {
class KernelTable;
}

namespace trireme::eager {

// Tensors of one type. What nobody else holds any more is handed out again.
class OutputPool {
 public:
  explicit OutputPool(TensorType type) : type_(std::move(type)) {}
  Tensor take();
  // Lets go of what nobody holds. Returns how many bytes are still held.
  size_t trim();
  const TensorType& type() const { return type_; }

 private:
  TensorType type_;
  std::vector<Tensor> tensors_;
  size_t next_ = 0;
};

// One op with its attributes on inputs of known types.
struct Step {
  const OpDef* op = nullptr;
  Attributes attributes;
  PreparedKernel kernel;
  bool is_view = false;
  std::vector<int> inputs;        // places, see Program
  std::vector<OutputPool> pools;  // one for each output
  int first_output = 0;           // the place of the first
};

class Program {
 public:
  // What computes `outputs` of a graph from `inputs`, which have known types. Throws
  // Error{kInvalidArgument} for an op that changes a variable or talks to others, and
  // Error{kNotFound} for one without a kernel.
  Program(std::span<const trireme::Value> inputs, std::span<const trireme::Value> outputs,
          const OpTable& ops, const KernelTable& kernels);

  // REQUIRES: inputs of the types for which it was made, one result for each output. Every active
  // tape that watches one of a step's inputs records it.
  void run(std::span<const Value* const> inputs, std::span<Value> results);

  size_t trim();  // as OutputPool::trim()

 private:
  void run_step(Step& step, std::span<const Value* const> inputs);
  const Value& at(int place, std::span<const Value* const> inputs) const {
    const auto i = static_cast<size_t>(place);
    return i < inputs.size() ? *inputs[i] : values_[i - inputs.size()];
  }

  // Values have places: the inputs, the constants, then the outputs of the steps.
  std::vector<Value> values_;  // all but the inputs
  size_t input_count_ = 0, constants_ = 0;
  std::vector<Step> steps_;
  std::vector<int> outputs_;
  std::vector<void*> addresses_;  // of one step: inputs and outputs
};

}  // namespace trireme::eager
