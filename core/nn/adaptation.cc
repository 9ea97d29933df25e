#include "core/nn/adaptation.h"

#include "core/base/error.h"

namespace trireme::nn {
namespace {

struct Adapting {
  AdaptingLayer* layer;
  size_t feature;
};

std::vector<Adapting> adapting_layers(const Network& network) {
  std::vector<Adapting> found;
  for (const LayerCall& call : network.calls()) {
    Layer& layer = *network.layers()[call.layer];
    auto* const adapting = dynamic_cast<AdaptingLayer*>(&layer);
    if (adapting == nullptr || !adapting->wants_data()) continue;
    if (call.inputs.size() != 1 || !call.inputs[0].is_feature || call.repeat > 0) {
      throw LayerError(str_cat("layer ", call.layer + 1, " (", layer.type(), " \"", layer.name(),
                               "\") takes its values from the training data: expected it to be "
                               "called once, on a feature of the data; give it the values as "
                               "options, or put it before all other layers"),
                       static_cast<int>(call.layer) + 1);
    }
    found.push_back({adapting, call.inputs[0].index});
  }
  return found;
}

}  // namespace

bool wants_data(const Network& network) {
  for (const auto& layer : network.layers()) {
    const auto* const adapting = dynamic_cast<const AdaptingLayer*>(layer.get());
    if (adapting != nullptr && adapting->wants_data()) return true;
  }
  return false;
}

void adapt(const Network& network, const data::Dataset& batches) {
  const std::vector<Adapting> layers = adapting_layers(network);
  if (layers.empty()) return;
  if (batches.cardinality() == data::kInfinite) {
    throw invalid_argument(
        "layers that take their values from the training data need one that "
        "ends; call take() on it");
  }
  data::Iterator iterator = batches.iterator();
  for (data::Element batch; iterator.next(batch);) {
    for (const Adapting& adapting : layers) {
      if (adapting.feature + 1 >= batch.size()) {
        throw invalid_argument("expected data with at least ", adapting.feature + 1,
                               " components of features, found ", batch.size() - 1);
      }
      adapting.layer->see(batch[adapting.feature]);
    }
  }
  for (const Adapting& adapting : layers) adapting.layer->finish();
}

}  // namespace trireme::nn
