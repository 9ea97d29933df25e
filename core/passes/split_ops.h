// Ops of which a part is elementwise (OpDef::split), as that part and the rest, where something
// elementwise follows and chains are one kernel: then what BatchNorm normalises, say, is written
// once, after activation and residual sum. For placed programs, right before fuse_elementwise().
#pragma once

#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

// `devices`: those that make one kernel of a chain; on others nothing changes.
Program split_ops(Program program, const std::vector<std::string>& devices);

}  // namespace trireme
