#include "core/passes/optimize.h"

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/passes/common_subexpressions.h"
#include "core/passes/fold_constants.h"
#include "core/passes/fuse_bias_activation.h"
#include "core/passes/fuse_elementwise.h"
#include "core/passes/fuse_gradient_update.h"
#include "core/passes/group_updates.h"
#include "core/passes/prune.h"
#include "core/passes/shrink_pool_gradients.h"
#include "core/passes/simplify_casts.h"
#include "core/passes/split_ops.h"

namespace trireme {
namespace {

#ifdef NDEBUG
constexpr bool kAlwaysVerify = false;
#else
constexpr bool kAlwaysVerify = true;
#endif

}  // namespace

Program optimize(Program program, const PassOptions& options) {
  const bool check = options.verify || kAlwaysVerify;
  if (check) verify(*program.graph);  // the caller's graph: its error is the caller's
  const auto apply = [&](bool enabled, std::string_view name, auto&& pass) {
    if (!enabled) return;
    program = pass(std::move(program));
    if (!check) return;
    try {
      verify(*program.graph);
    } catch (const Error& error) {
      throw Error(ErrorCode::kInternal,
                  str_cat("the pass ", name, " broke the graph: ", error.what()));
    }
  };
  // First, so that the others see only users that count.
  apply(options.prune, "prune", prune);
  apply(options.fold_constants && options.kernels != nullptr, "fold_constants", [&](Program p) {
    return fold_constants(std::move(p), *options.kernels, options.max_folded_bytes);
  });
  apply(options.merge_common_subexpressions, "merge_common_subexpressions",
        merge_common_subexpressions);
  // Constants that were folded away must not count as users either.
  apply(options.prune, "prune", prune);
  apply(options.simplify_casts, "simplify_casts",
        [&](Program p) { return simplify_casts(std::move(p), options.has_kernel); });
  apply(options.shrink_pool_gradients, "shrink_pool_gradients", shrink_pool_gradients);
  apply(options.fuse_bias_activation, "fuse_bias_activation", fuse_bias_activation);
  apply(options.fuse_gradient_update, "fuse_gradient_update",
        [&](Program p) { return fuse_gradient_update(std::move(p), options.has_kernel); });
  apply(!options.placement.devices.empty(), "place",
        [&](Program p) { return place(std::move(p), options.placement); });
  // Before chains: a gradient's cast belongs to its update.
  apply(options.group_updates && !options.chain_devices.empty(), "group_updates",
        [&](Program p) { return group_updates(std::move(p), options.chain_devices); });
  const bool fuse_chains = options.fuse_elementwise && !options.chain_devices.empty();
  apply(fuse_chains, "split_ops",
        [&](Program p) { return split_ops(std::move(p), options.chain_devices); });
  apply(fuse_chains, "fuse_elementwise",
        [&](Program p) { return fuse_elementwise(std::move(p), options.chain_devices); });
  // Constants that went into chains.
  apply(options.prune && fuse_chains, "prune", prune);
  return program;
}

}  // namespace trireme
