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
  nodes.insert(nodes.end(), forward.state_updates.begin(), forward.state_updates.end());
  return nodes;
}

void add_loss(Forward& forward, const Loss& loss, const std::vector<Metric>& metrics) {
  forward.loss = ops::mean(loss.function(forward.predictions, forward.labels));
  for (const Metric& metric : metrics) {
    const Value examples = metric.function(forward.predictions, forward.labels);
    forward.metrics.push_back({metric.name, ops::mean(examples)});
  }
}

void add_gradients(TrainGraph& graph) {
  std::vector<Value> wrt;
  for (const VariableSpec& spec : graph.variables->all()) {
    if (spec.role == VariableRole::kTrainable) wrt.push_back(spec.value);
  }
  const std::vector<Gradient> found = gradients(graph.forward.loss, wrt);
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
  for (Update& update : graph.updates) {
    const std::string& variable = update.variable.node->attribute<std::string>("name");
    UpdateInputs inputs{update.variable, update.gradient, graph.learning_rate, graph.step, {}};
    for (const SlotSpec& slot : optimizer.slots()) {
      const std::string name = slot_name(optimizer.name(), slot.name, variable);
      inputs.slots.push_back(
          graph.variables->get_or_add(*graph.graph, name, name, update.variable.type(),
                                      VariableRole::kSlot, constant(slot.initial)));
    }
    update.apply = &optimizer.apply(inputs);
  }
}

}  // namespace trireme::nn
