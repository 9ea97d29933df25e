// Fusion of a matrix product or convolution with what follows: MatMul or Conv2d → BiasAdd (or Add
// with a vector along the last axis) → Relu, Sigmoid, Tanh or nothing becomes one FusedMatMul or
// FusedConv2d.
//
// Only where no one else sees the values in between. Run it after differentiation: the fused ops
// have no gradient, and the gradients of these activations use the activation's output, so the
// values in between have no other user then.
#pragma once

#include "core/passes/program.h"

namespace trireme {

Program fuse_bias_activation(Program program);

}  // namespace trireme
