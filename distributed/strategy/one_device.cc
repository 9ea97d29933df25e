// one_device: the first device of one process does the whole batch, in micro-batches where there
// are several.
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/strategies.h"

namespace trireme {
namespace {

class OneDevice : public Strategy {
 public:
  explicit OneDevice(StrategyOptions options) : Strategy(kOneDeviceStrategy, std::move(options)) {
    require_one_device("; several are used by " +
                       strategy_names(" or ", [](const auto& def) { return def.spans_devices; }));
  }

  int ranks() const override { return 1; }
  bool communicates() const override { return false; }

  void build_gradients(nn::TrainGraph& graph) const override {
    GradientBuilder builder(graph, *this);
    builder.build_shards();
    builder.reduce_results();
    builder.add_updates();
  }
};

}  // namespace

constinit const StrategyDef kOneDeviceStrategy = {
    .name = "one_device", .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<OneDevice>(std::move(options));
    }};

}  // namespace trireme
