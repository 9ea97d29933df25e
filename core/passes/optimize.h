// The default pipeline: prune, fold constants, merge common subexpressions, prune again, simplify
// casts, shrink the gradients of poolings, fuse, place, group updates, fuse elementwise ops, prune
// once more.
#pragma once

#include "core/passes/placement.h"
#include "core/passes/program.h"
#include "core/passes/simplify_casts.h"

namespace trireme {

class KernelTable;

struct PassOptions {
  bool prune = true;
  bool fold_constants = true;
  bool merge_common_subexpressions = true;
  bool simplify_casts = true;
  bool shrink_pool_gradients = true;
  bool fuse_bias_activation = true;
  bool fuse_gradient_update = true;
  bool group_updates = true;     // on chain_devices
  bool fuse_elementwise = true;  // on chain_devices
  // Needed by fold_constants: with kernels of kind "reference". Null: nothing is folded.
  const KernelTable* kernels = nullptr;
  size_t max_folded_bytes = size_t{1} << 20;
  // Which ops a fusion may make that not every device has. Null: none of them.
  HasKernel has_kernel = nullptr;
  // Without devices nothing is placed.
  PlacementOptions placement;
  // Devices that make one kernel of several elementwise ops: there they are fused, and so are
  // updates. Empty: none.
  std::vector<std::string> chain_devices;
  // Verify the graph before the first and after each pass; always done in debug builds.
  bool verify = false;
};

// Throws what the passes throw; a pass that breaks a rule of graphs is an Error{kInternal} naming
// the pass.
Program optimize(Program program, const PassOptions& options = {});

}  // namespace trireme
