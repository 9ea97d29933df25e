// What the op definitions of several families share: common shape rules, and the builder of nodes
// with one output.
#pragma once

#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"

namespace trireme::ops {

using Types = std::vector<TensorType>;

// Adds a node to the graph of the first input and returns its output 0. Throws
// Error{kInvalidArgument} when an input is undefined.
Value build(std::string_view op, std::vector<Value> inputs, Attributes attributes = {});

// A constant of x's dtype.
Value constant_like(Value x, double value);

// The output is of the same type as input 0.
Types same_as_input(const InferenceContext& c);

// `axes` without negative numbers, sorted. Throws invalid_argument when one is out of range for
// `rank` or appears twice.
Axes normalize_axes(const Axes& axes, int rank, std::string_view op);

// `grad` summed to the shape of `like`, which was broadcast to it. An unknown dimension is the
// batch everywhere, so equal shapes need nothing.
Value unbroadcast(Value grad, Value like);

// Throws invalid_argument, through c.require, when `from`, aligned at the right, does not broadcast
// to `to`; unknown dimensions fit anything.
void require_broadcasts_to(const InferenceContext& c, const Shape& from, const Shape& to);

}  // namespace trireme::ops
