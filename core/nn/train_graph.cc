#include "core/nn/train_graph.h"

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/nn/optimizers.h"
#include "core/nn/update_steps.h"
#include "core/ops/ops.h"

namespace trireme::nn {

std::vector<Node*> TrainGraph::targets() const {
  std::vector<Node*> nodes;
  for (const Update& update : updates) {
    if (update.apply != nullptr) nodes.push_back(update.apply);
    nodes.insert(nodes.end(), update.after_apply.begin(), update.after_apply.end());
  }
  for (const MovingAverage& average : forward.moving_averages) {
    if (average.node != nullptr) nodes.push_back(average.node);
  }
  nodes.insert(nodes.end(), state_updates.begin(), state_updates.end());
  nodes.insert(nodes.end(), pushes.begin(), pushes.end());
  return nodes;
}

std::vector<Value> Forward::data() const {
  std::vector<Value> all = features;
  all.insert(all.end(), labels.begin(), labels.end());
  if (sample_weights.defined()) all.push_back(sample_weights);
  return all;
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

namespace {

// The new value is brought to what the constraint allows, in place.
Node& add_constraint(const Constraint& constraint, Value value, Value only_if) {
  const Graph::Scope scope(value.graph(), "constraint", value.node->device());
  return ops::update(update_op(rules::Assign{}), {.variable = value,
                                                  .gradient = {.values = constraint.project(value)},
                                                  .learning_rate = {},
                                                  .step = {},
                                                  .only_if = only_if});
}

}  // namespace

void add_updates(TrainGraph& graph, const Optimizer& optimizer) {
  const UpdateClock clock = accumulate_gradients(graph, optimizer);
  clip_gradients(graph, optimizer.update_options(), graph.needs_gradient_norm);
  for (Update& update : graph.updates) {
    if (update.is_remote) continue;
    // By value: adding slots moves the registry's entries.
    const VariableSpec variable =
        *graph.variables->find(update.variable.node->attribute<std::string>("name"));
    const std::string& original = variable.copy_of.empty() ? variable.name : variable.copy_of;
    UpdateInputs inputs{.variable = update.variable,
                        .gradient = update.gradient,
                        .learning_rate = graph.learning_rate,
                        .step = clock.step,
                        .slots = {},
                        .only_if = clock.only_if};
    for (const SlotSpec& slot : optimizer.slots_of(original, update.variable.shape())) {
      inputs.slots.push_back(slot_of(graph, optimizer, slot, variable));
    }
    const std::vector<Node*> nodes = optimizer.apply(inputs, original);
    update.apply = nodes.front();
    update.after_apply.assign(nodes.begin() + 1, nodes.end());
    Value new_value = update.apply->output();
    if (variable.constraint) {
      Node& constrained = add_constraint(*variable.constraint, new_value, clock.only_if);
      update.after_apply.push_back(&constrained);
      new_value = constrained.output();
    }
    if (optimizer.update_options().use_ema) {
      const std::vector<Node*> averages =
          average_weights(graph, optimizer, variable, update, new_value, clock);
      update.after_apply.insert(update.after_apply.end(), averages.begin(), averages.end());
    }
  }
  for (MovingAverage& average : graph.forward.moving_averages) {
    const Graph::Scope scope(*graph.graph, "", average.variable.node->device());
    average.node = &ops::assign_moving_average(average.variable, average.value, average.momentum,
                                               graph.loss_scale.all_finite);
  }
}

}  // namespace trireme::nn
