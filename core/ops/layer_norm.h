// Layer normalisation as one op (core/ops/layer_norm.cc).
#pragma once

#include "core/ops/ops.h"

namespace trireme::ops {

// (x − mean)/√(variance + epsilon)·gamma + beta, mean and biased variance over the last axis.
// gamma, beta: [channels], f32 where x has 16 bits.
Value layer_norm(Value x, Value gamma, Value beta, double epsilon);

}  // namespace trireme::ops
