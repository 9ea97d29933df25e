// BatchNorm as its statistics and elementwise ops, where something elementwise follows it and
// chains are one kernel: then what is normalised is written once, after activation and residual
// sum.
//
//   y = BatchNorm(x, scale, offset)   becomes
//   mean, variance, factor = BatchNormStatistics(x, scale);  y = (x − mean) · factor + offset
//
// computed in f32 for 16-bit floats. For placed programs, right before fuse_elementwise().
#pragma once

#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

// `devices`: those that make one kernel of a chain; on others nothing changes.
Program split_batch_norm(Program program, const std::vector<std::string>& devices);

}  // namespace trireme
