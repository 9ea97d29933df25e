// Reductions that are composed of others, and so have their gradients and run wherever those do. In
// trireme::ops, like the builders of ops.h. Empty axes: all of them.
#pragma once

#include "core/graph/graph.h"
#include "core/ops/ops.h"

namespace trireme::ops {

// Whether one, or every, element is true. x: bool; of no elements: false and true.
Value any(Value x, Axes axes = {}, bool keep_dims = false);
Value all(Value x, Axes axes = {}, bool keep_dims = false);

// The mean square distance from the mean (divided by n, as NumPy does), and its root. The root has
// no gradient where it is 0: NaN.
Value variance(Value x, Axes axes = {}, bool keep_dims = false);
Value stddev(Value x, Axes axes = {}, bool keep_dims = false);

// log(Σ e^x) without overflow; of nothing but −∞: −∞.
Value logsumexp(Value x, Axes axes = {}, bool keep_dims = false);

}  // namespace trireme::ops
