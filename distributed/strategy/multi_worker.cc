// multi_worker: workers that each have all variables, and add up their gradients by all-reduce.
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/strategies.h"

namespace trireme {
namespace {

class MultiWorker : public Strategy {
 public:
  explicit MultiWorker(StrategyOptions options)
      : Strategy(kMultiWorkerStrategy, std::move(options)) {}

  int ranks() const override { return devices(); }
  bool communicates() const override { return true; }

  void build_gradients(nn::TrainGraph& graph) const override {
    GradientBuilder builder(graph, *this);
    builder.build_shards();
    // First, because they are known first: the reduction runs beside the backward pass.
    builder.reduce_results();
    builder.add_updates();
    builder.reduce_gradients();
  }
};

}  // namespace

constinit const StrategyDef kMultiWorkerStrategy = {
    .name = "multi_worker",
    .spans_workers = true,
    .forms_group = true,
    .group_may_shrink = true,
    .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<MultiWorker>(std::move(options));
    }};

}  // namespace trireme
