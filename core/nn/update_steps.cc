#include "core/nn/update_steps.h"

#include <map>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

Value number(const Graph& graph, double value) {
  return ops::scalar(const_cast<Graph&>(graph), DType::kFloat32, value);
}
Value whole(Graph& graph, int64_t value) {
  return ops::scalar(graph, DType::kInt64, static_cast<double>(value));
}

const VariableSpec& spec_of(const TrainGraph& graph, const Update& update) {
  return *graph.variables->find(update.variable.node->attribute<std::string>("name"));
}

// Whether `step` is a multiple of `count`.
Value is_multiple(Graph& graph, Value step, int64_t count) {
  const Value n = whole(graph, count);
  return ops::equal(step - step / n * n, whole(graph, 0));
}

// Of a sparse gradient too, whose rows may repeat.
Value square_sum(const Update& update) {
  return ops::sum(
      ops::square(ops::cast(densify(update.gradient, update.variable), DType::kFloat32)));
}

void scale(Update& update, Value factor) {
  Value& values = update.gradient.values;
  values = values * ops::cast(factor, values.dtype());
}

// 1 for a norm of at most `limit`, else what brings it there.
Value factor_for(const Graph& graph, Value norm, double limit) {
  return number(graph, limit) / ops::maximum(norm, number(graph, limit));
}

}  // namespace

Value slot_of(TrainGraph& graph, const Optimizer& optimizer, const SlotSpec& slot,
              const VariableSpec& variable) {
  const bool is_copy = !variable.copy_of.empty();
  const std::string name =
      slot_name(optimizer.name(), slot.name, is_copy ? variable.copy_of : variable.name);
  TensorType type = variable.value.type();
  if (slot.shape) type.shape = *slot.shape;
  const Value value = graph.variables->get_or_add(*graph.graph, name, name, type,
                                                  VariableRole::kSlot, constant(slot.initial));
  return is_copy ? graph.variables->get_or_add_copy(*graph.graph, name, variable.copy_index,
                                                    variable.value.node->device())
                 : value;
}

UpdateClock accumulate_gradients(TrainGraph& graph, const Optimizer& optimizer) {
  const int64_t steps = optimizer.update_options().gradient_accumulation_steps;
  if (steps == 1) return {applied_step(graph), graph.loss_scale.all_finite};
  if (graph.loss_scale.scale.defined()) {
    throw invalid_argument(
        "gradient_accumulation_steps: expected a training that skips no steps, found the precision "
        "mixed_float16; use mixed_bfloat16");
  }
  Graph& g = *graph.graph;
  const Graph::Scope scope(g, "accumulate");
  const UpdateClock clock{(graph.step + whole(g, steps - 1)) / whole(g, steps),
                          is_multiple(g, graph.step, steps)};
  for (Update& update : graph.updates) {
    if (update.is_remote) continue;
    const VariableSpec variable = spec_of(graph, update);
    const Graph::Scope device(g, "", update.variable.node->device());
    const Value sums = slot_of(graph, optimizer, {"gradient_sum"}, variable);
    const Value total = sums + densify(update.gradient, update.variable);
    // Not a product: a sum that is not finite would stay so.
    const Value rest = ops::select(clock.only_if, ops::scalar(g, total.dtype(), 0), total);
    graph.state_updates.push_back(&ops::assign(sums, rest));
    update.gradient = {.values =
                           total * ops::scalar(g, total.dtype(), 1 / static_cast<double>(steps))};
  }
  return clock;
}

void clip_gradients(TrainGraph& graph, const UpdateOptions& options, bool needs_norm) {
  const bool of_all = options.global_clipnorm.has_value() || needs_norm;
  if (!options.clips() && !of_all) return;
  Graph& g = *graph.graph;
  const Graph::Scope scope(g, "clip");
  std::map<int, std::vector<Update*>> by_copy;
  for (Update& update : graph.updates) {
    if (!update.is_remote) by_copy[spec_of(graph, update).copy_index].push_back(&update);
  }
  for (auto& [copy, updates] : by_copy) {
    const Graph::Scope first(g, "", updates.front()->variable.node->device());
    Value total;
    for (Update* update : updates) {
      const Graph::Scope device(g, "", update->variable.node->device());
      if (options.clipvalue) {
        const Value gradient = densify(update->gradient, update->variable);
        const Value limit = ops::scalar(g, gradient.dtype(), *options.clipvalue);
        if (of_all) {
          const Value square = square_sum(*update);
          total = total.defined() ? total + square : square;
        }
        update->gradient = {.values = ops::maximum(ops::minimum(gradient, limit), -limit)};
        continue;
      }
      const Value square = square_sum(*update);
      if (of_all) total = total.defined() ? total + square : square;
      if (options.clipnorm) {
        scale(*update, factor_for(g, ops::sqrt(square), *options.clipnorm));
      }
    }
    if (!of_all) continue;
    const Value norm = ops::sqrt(total);
    if (copy == 0) graph.gradient_norm = norm;
    if (!options.global_clipnorm) continue;
    const Value factor = factor_for(g, norm, *options.global_clipnorm);
    for (Update* update : updates) {
      const Graph::Scope device(g, "", update->variable.node->device());
      scale(*update, factor);
    }
  }
}

std::vector<Node*> average_weights(TrainGraph& graph, const Optimizer& optimizer,
                                   const VariableSpec& variable, const Update& update,
                                   Value new_value, const UpdateClock& clock) {
  const UpdateOptions& options = optimizer.update_options();
  const Graph::Scope scope(*graph.graph, "ema", update.variable.node->device());
  const Value slot = slot_of(graph, optimizer, {std::string(kAverageSlot)}, variable);
  Node& average = ops::update(update_op(rules::WeightAverage{.momentum = options.ema_momentum}),
                              {.variable = slot,
                               .gradient = {.values = new_value},
                               .learning_rate = {},
                               .step = clock.step,
                               .only_if = clock.only_if});
  std::vector<Node*> nodes = {&average};
  if (options.ema_overwrite_frequency > 0) {
    Value when = is_multiple(*graph.graph, clock.step, options.ema_overwrite_frequency);
    if (clock.only_if.defined()) when = ops::logical_and(when, clock.only_if);
    nodes.push_back(
        &ops::update(update_op(rules::Assign{}), {.variable = new_value,
                                                  .gradient = {.values = average.output()},
                                                  .learning_rate = {},
                                                  .step = {},
                                                  .only_if = when}));
  }
  return nodes;
}

}  // namespace trireme::nn
