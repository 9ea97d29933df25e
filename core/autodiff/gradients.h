// Reverse-mode differentiation: one sweep over the gradient rules of the ops.
//
// The gradients are nodes of the same graph, under the scope "gradients/", built with the same ops;
// they can therefore be differentiated again. Not synchronised: building a graph happens on one
// thread.
#pragma once

#include <span>
#include <vector>

#include "core/graph/gradient_context.h"

namespace trireme {

// The gradient of the sum of `loss` with respect to each of `wrt`, in that order.
//
// It starts with ones of the shape of `loss`, or with `output_seeds[0]` (a vector-Jacobian
// product). Contributions that arrive along several paths are added: sparse ones stay sparse where
// all are sparse and the value is a leaf of the sweep, that is one of `wrt`; otherwise they become
// dense. Integer values get no gradient. An undefined Gradient means that `loss` does not depend on
// the value, or only through ops that cannot be differentiated. Throws invalid_argument when `loss`
// is not floating-point or a seed does not fit.
std::vector<Gradient> gradients(Value loss, std::span<const Value> wrt,
                                std::span<const Value> output_seeds = {});

// A gradient of `like` as a dense value. REQUIRES: gradient.defined().
Value densify(const Gradient& gradient, Value like);

}  // namespace trireme
