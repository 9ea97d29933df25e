// Ops that pick or add elements by number, besides ops::gather and ops::scatter_add of rows. In
// trireme::ops, like the builders of ops.h. Indices are i32 or i64, never negative; one that is out
// of range is an error when the kernel runs.
#pragma once

#include "core/graph/graph.h"
#include "core/ops/ops.h"

namespace trireme::ops {

// Of params [batch…, outer…, n, inner…], where `axis` is that of n and the first `batch_dims` axes
// are those of the indices too, [batch…, m…]: y [batch…, outer…, m…, inner…], with
// y[b, o, j, i] = params[b, o, indices[b, j], i]. As tf.gather.
Value gather(Value params, Value indices, int64_t axis, int batch_dims = 0);

// y[…, j, …] = x[…, indices[…, j, …], …] along `axis`. The indices have x's shape but along the
// axis. As NumPy's take_along_axis.
Value take_along_axis(Value x, Value indices, int64_t axis = -1);
// `like`'s shape of zeros, where updates[…, j] is added at […, indices[…, j]] of the last axis.
// Indices and updates are of one shape, `like`'s but along the last axis. `like` lends its shape.
Value put_along_axis(Value indices, Value updates, Value like);

// indices: [i…, k], k ≤ the rank of params: y [i…, rest…], the elements (or slices of the last
// axes) of params at the coordinates in the last axis of the indices. As tf.gather_nd.
Value gather_nd(Value params, Value indices);
// `like`'s shape of zeros, increased by updates [i…, rest…] at the coordinates. `like` lends its
// shape only. As tf.scatter_nd; repeated coordinates add up.
Value scatter_nd(Value indices, Value updates, Value like);

// Row s of the result [segments, rest…] is made of the rows i of data [n, rest…] for which ids[i],
// of i32 or i64 in [0, segments), is s: their sum, mean or largest elements. In any order of ids. A
// segment without rows has the sum and mean 0, and the lowest number as largest.
Value segment_sum(Value data, Value ids, int64_t segments);
Value segment_mean(Value data, Value ids, int64_t segments);
Value segment_max(Value data, Value ids, int64_t segments);

}  // namespace trireme::ops
