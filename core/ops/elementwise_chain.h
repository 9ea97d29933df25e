// A chain: some elementwise ops that run as one, the content of a FusedElementwise node.
//
// Values are numbered: first the inputs, then what each step makes. A step reads values before it,
// so a chain may be any graph without cycles. As text, which is how the node's attribute `chain`
// holds it: "Add(0,1) Relu(2) Cast[dtype=t:bf16](3) -> 3,4".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/op_def.h"

namespace trireme {

struct Chain {
  // An op with the trait is_elementwise; ExpandDims or Squeeze, which only rename the elements; or
  // "Constant" without inputs, a scalar whose attributes are its `dtype` and `value` (a double).
  // Attributes are of bool, i64, double, DType or Ints.
  struct Step {
    std::string op;
    std::vector<int> inputs;
    Attributes attributes;
  };

  int input_count = 0;
  std::vector<Step> steps;
  std::vector<int> outputs;  // at least one, each made by a step

  std::string to_string() const;
};

// True when a chain can hold attributes of these types.
bool fits_chain(const Attributes& attributes);
// True of ExpandDims, Squeeze, and what else has the trait is_axis_view.
bool is_chain_view(std::string_view op, const OpTable& ops);
// The inputs of a step whose elements it reads; the others lend their shapes.
std::vector<int> inputs_read(const Chain::Step& step, const OpTable& ops);

// Throws Error{kInvalidArgument} with what is wrong in the text.
Chain parse_chain(std::string_view text, int input_count);

// The types of all values, by number. Throws Error{kInvalidArgument} when a step does not take its
// inputs, or is no op of chains.
std::vector<TensorType> chain_types(const Chain& chain, std::span<const TensorType> inputs,
                                    const OpTable& ops);

// Which element of each value an element of the outputs comes from: for each axis of a value the
// axis of the outputs that it goes along, or -1 where its size is 1 or nobody reads it. Throws
// Error{kInvalidArgument} when a value is read along other axes by one step than by another.
std::vector<std::vector<int>> chain_axes(const Chain& chain, std::span<const TensorType> types,
                                         const OpTable& ops);

}  // namespace trireme
