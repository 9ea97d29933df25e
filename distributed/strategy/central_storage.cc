// central_storage: the devices of one process, all of which read the variables of the first.
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/strategies.h"

namespace trireme {
namespace {

class CentralStorage : public Strategy {
 public:
  explicit CentralStorage(StrategyOptions options)
      : Strategy(kCentralStorageStrategy, std::move(options)) {}

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

constinit const StrategyDef kCentralStorageStrategy = {
    .name = "central_storage",
    .spans_devices = true,
    .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<CentralStorage>(std::move(options));
    }};

}  // namespace trireme
