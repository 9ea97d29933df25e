// Fusion of a gradient's matrix product with the update that uses it: MatMul → ApplySgd becomes
// FusedMatMulApplySgd, one product that accumulates into the variable, so that the gradient is
// neither written nor read.
//
// For plain gradient descent (no momentum, no weight decay) of variables in f32 and f64, and where
// no one else sees the gradient. WideMatMul is fused, too, where there is a kernel for its dtype.
// It must not run where gradients are reduced between the two: then an AllReduce stands between
// them and nothing matches.
#pragma once

#include "core/passes/simplify_casts.h"

namespace trireme {

Program fuse_gradient_update(Program program, const HasKernel& has_kernel = nullptr);

}  // namespace trireme
