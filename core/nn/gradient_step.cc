#include "core/nn/gradient_step.h"

#include <algorithm>

namespace trireme::nn {
namespace {

bool has_gradient(const Update& update) { return update.gradient.defined(); }

// What is fetched as it is, whatever its shape, are the values of metrics that have a row for each
// example: gradients are fetched as such, behind the metrics.
TrainGraph with_gradients(TrainGraph graph) {
  for (const Update& update : graph.updates) {
    if (!has_gradient(update)) continue;
    graph.forward.metrics.push_back({.name = "gradient",
                                     .value = update.gradient.values,
                                     .quantity = {.kind = FigureKind::kRankedScores}});
  }
  return graph;
}

}  // namespace

GradientStep::GradientStep(Session& session, const TrainGraph& graph)
    : own_rows_(
          static_cast<size_t>(std::ranges::count_if(graph.forward.metrics, &MetricValue::by_row))),
      function_(session, with_gradients(graph)) {
  for (const Update& update : graph.updates) {
    if (!has_gradient(update)) continue;
    names_.push_back(update.variable.node->attribute<std::string>("name"));
  }
}

StateMap GradientStep::gradients() const {
  StateMap gradients;
  for (size_t i = 0; i < names_.size(); ++i) {
    gradients[names_[i]] = function_.rows()[own_rows_ + i];
  }
  return gradients;
}

}  // namespace trireme::nn
