#include "core/nn/train_graph.h"

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/nn/optimizers.h"
#include "core/ops/ops.h"

namespace trireme::nn {

std::vector<Node*> TrainGraph::targets() const {
  std::vector<Node*> nodes;
  for (const Update& update : updates) {
    if (update.apply != nullptr) nodes.push_back(update.apply);
  }
  for (const MovingAverage& average : forward.moving_averages) {
    if (average.node != nullptr) nodes.push_back(average.node);
  }
  nodes.insert(nodes.end(), state_updates.begin(), state_updates.end());
  nodes.insert(nodes.end(), pushes.begin(), pushes.end());
  return nodes;
}

void add_loss(Forward& forward, const Loss& loss, const std::vector<Metric>& metrics) {
  forward.loss = ops::mean(loss.function(forward.predictions, forward.labels));
  for (const Metric& metric : metrics) {
    const Value value = metric.function(forward.predictions, forward.labels);
    const bool by_row = metric.kind != Metric::Kind::kMean;
    forward.metrics.push_back({metric.name, by_row ? value : ops::mean(value), by_row});
  }
}

RunningMeans running_means(const Loss& loss, const std::vector<Metric>& metrics) {
  std::vector<RunningMeans::Quantity> quantities = {{Metric::Kind::kMean, loss.finish}};
  for (const Metric& metric : metrics) quantities.push_back({metric.kind, metric.finish});
  return RunningMeans(std::move(quantities));
}

void add_gradients(TrainGraph& graph) {
  std::vector<Value> wrt;
  for (const VariableSpec& spec : graph.variables->all()) {
    if (spec.role == VariableRole::kTrainable) wrt.push_back(spec.value);
  }
  const std::vector<Gradient> found = gradients(scaled_loss(graph, graph.forward.loss), wrt);
  for (size_t i = 0; i < wrt.size(); ++i) {
    if (found[i].defined()) graph.updates.push_back({wrt[i], found[i]});
  }
  if (graph.updates.empty()) {
    throw invalid_argument(
        "the loss depends on no trainable variable: the model needs a layer with weights, such as "
        "dense");
  }
}

void add_updates(TrainGraph& graph, const Optimizer& optimizer) {
  const Value step = applied_step(graph);
  for (Update& update : graph.updates) {
    if (update.is_remote) continue;
    // By value: adding slots moves the registry's entries.
    const VariableSpec variable =
        *graph.variables->find(update.variable.node->attribute<std::string>("name"));
    const bool is_copy = !variable.copy_of.empty();
    const std::string& original = is_copy ? variable.copy_of : variable.name;
    UpdateInputs inputs{.variable = update.variable,
                        .gradient = update.gradient,
                        .learning_rate = graph.learning_rate,
                        .step = step,
                        .slots = {},
                        .only_if = graph.loss_scale.all_finite};
    for (const SlotSpec& slot : optimizer.slots()) {
      const std::string name = slot_name(optimizer.name(), slot.name, original);
      const Value value =
          graph.variables->get_or_add(*graph.graph, name, name, update.variable.type(),
                                      VariableRole::kSlot, constant(slot.initial));
      inputs.slots.push_back(
          is_copy ? graph.variables->get_or_add_copy(*graph.graph, name, variable.copy_index,
                                                     update.variable.node->device())
                  : value);
    }
    update.apply = &optimizer.apply(inputs);
  }
  for (MovingAverage& average : graph.forward.moving_averages) {
    const Graph::Scope scope(*graph.graph, "", average.variable.node->device());
    average.node = &ops::assign_moving_average(average.variable, average.value, average.momentum,
                                               graph.loss_scale.all_finite);
  }
}

}  // namespace trireme::nn
