// Constant folding: nodes whose inputs are all constant are computed once, here, and become
// constants.
//
// Only nodes without effect, of known shapes, with a reference kernel for their dtype, and only
// when no output is larger than `max_bytes`: a large result is cheaper to compute again than to
// carry in the graph.
#pragma once

#include "core/passes/program.h"

namespace trireme {

class KernelTable;

// `kernels` must hold the kernels of kind "reference" (register_reference_kernels).
Program fold_constants(Program program, const KernelTable& kernels, size_t max_bytes);

}  // namespace trireme
