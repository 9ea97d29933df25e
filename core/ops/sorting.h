// Orders and running sums along an axis. In trireme::ops, like the builders of ops.h.
#pragma once

#include "core/graph/graph.h"
#include "core/ops/ops.h"

namespace trireme::ops {

// Element i along the axis is the sum of those up to i, itself only if not `exclusive`; with
// `reverse` of those from i on. Integers wrap around.
Value cumsum(Value x, int64_t axis = -1, bool exclusive = false, bool reverse = false);

// The elements along an axis in their order; equal ones stay in theirs. A NaN counts as larger than
// every number.
Value sort(Value x, int64_t axis = -1, bool descending = false);
// Where each was, i64.
Value argsort(Value x, int64_t axis = -1, bool descending = false);

struct TopK {
  Value values;   // [..., k], the largest first
  Value indices;  // i64, along the last axis
};
// The k largest along the last axis, of equal ones the first; a NaN counts as larger than every
// number. k is at most the size of the axis.
TopK top_k(Value x, int64_t k);

}  // namespace trireme::ops
