// The dot products of all pairs of an example's vectors.
#pragma once

#include "core/graph/graph.h"

namespace trireme::ops {

// x: [batch, n, dim] → [batch, n·(n − 1)/2]: x[i]·x[j] for each j < i, by i and then j.
Value pairwise_dots(Value x);

}  // namespace trireme::ops
