// hybrid: the rows of embeddings are on parameter servers; variables are on every worker, and their
// gradients are added up by all-reduce as with multi_worker.
#include "core/base/error.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/server_traffic.h"
#include "distributed/strategy/strategies.h"

namespace trireme {
namespace {

class Hybrid : public Strategy {
 public:
  explicit Hybrid(StrategyOptions options) : Strategy(kHybridStrategy, std::move(options)) {
    require_one_device();
  }

  int ranks() const override { return devices(); }
  bool communicates() const override { return true; }

  void build_gradients(nn::TrainGraph& graph) const override {
    refuse_loss_scale(graph, "parameter servers");
    refuse_update_options(graph);
    GradientBuilder builder(graph, *this);
    ServerTraffic servers(graph);
    servers.pull(builder.shard_builders(), {});
    builder.build_shards();
    // First, because they are known first: the reduction runs beside the backward pass.
    builder.reduce_results();
    builder.add_updates({.rows = &servers});
    if (!servers.has_gradients()) {
      throw invalid_argument(
          "strategy HYBRID: the model has no embedding whose rows are trained (there is none, all "
          "are "
          "frozen, or the loss does not depend on them), so there is nothing to push; use the "
          "strategy PARAMETER_SERVER or MULTI_WORKER");
    }
    builder.reduce_gradients();
    // After all collectives of the step: a step that fails in one of them has pushed nothing.
    servers.push({}, options().first_bucket_bytes, options().bucket_bytes, {},
                 all_reduces(*graph.graph));
  }
};

}  // namespace

constinit const StrategyDef kHybridStrategy = {
    .name = "hybrid",
    .spans_workers = true,
    .forms_group = true,
    .uses_servers = true,
    .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<Hybrid>(std::move(options));
    }};

}  // namespace trireme
