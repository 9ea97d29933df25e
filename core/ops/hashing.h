// Hashing of whole numbers. Errors as in ops.h.
#pragma once

#include "core/graph/graph.h"

namespace trireme::ops {

// The i64 bucket in [0, buckets) of each key, i32 or i64. Another salt mixes the buckets anew.
Value hash_bucket(Value keys, int64_t buckets, int64_t salt = 0);

}  // namespace trireme::ops
