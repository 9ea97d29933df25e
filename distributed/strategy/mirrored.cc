// mirrored: the devices of one process, each a rank with variables of its own.
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/strategies.h"

namespace trireme {
namespace {

class Mirrored : public Strategy {
 public:
  explicit Mirrored(StrategyOptions options) : Strategy(kMirroredStrategy, std::move(options)) {}

  int ranks() const override { return devices(); }
  bool communicates() const override { return devices() > 1; }

  void build_gradients(nn::TrainGraph& graph) const override {
    GradientBuilder builder(graph, *this);
    builder.build_shards();
    builder.reduce_results();
    builder.add_updates();
    if (communicates()) builder.reduce_gradients();
  }
};

}  // namespace

constinit const StrategyDef kMirroredStrategy = {
    .name = "mirrored",
    .spans_devices = true,
    .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<Mirrored>(std::move(options));
    }};

}  // namespace trireme
