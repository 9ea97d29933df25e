// Fusion of elementwise ops: those that feed each other become one FusedElementwise, a chain
// (core/ops/elementwise_chain.h), on devices that make one kernel of it.
//
// Values that others see become outputs of the chain. What stays apart: ops whose fusion would make
// nodes wait for each other (two ends of a chain with a matrix product between them, a reader of a
// variable with what follows its update), whatever has control inputs, is fed or is a target, other
// shapes than the chain's, unless they are small and only broadcast into it. Run it last, on placed
// programs: a chain has no gradient, and other fusions look for single ops. Constants that went
// into chains are left for pruning.
#pragma once

#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

// `devices`: those that make one kernel of a chain; on others nothing changes.
Program fuse_elementwise(Program program, const std::vector<std::string>& devices);

}  // namespace trireme
