#include "core/nn/loss_scale.h"

#include <string>

#include "core/base/error.h"
#include "core/nn/initializers.h"
#include "core/nn/train_graph.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Far above any scale under which gradients are finite, and far below where f32 ends.
constexpr double kLargestScale = 0x1p60;

Value add_variable(TrainGraph& graph, const std::string& name, double initial) {
  const Value value =
      graph.variables->get_or_add(*graph.graph, "loss_scale/" + name, name, {DType::kFloat32, {}},
                                  VariableRole::kSlot, constant(initial));
  graph.variables->make_optional("loss_scale/" + name);
  return value;
}

Value number(TrainGraph& graph, double value) {
  return ops::scalar(*graph.graph, DType::kFloat32, value);
}

}  // namespace

void add_loss_scale(TrainGraph& graph, const LossScaleOptions& options) {
  if (!(options.initial >= 1) || options.growth_steps < 1) {
    throw invalid_argument("loss scale: expected an initial scale and growth steps of 1 or more, ",
                           "found ", options.initial, " and ", options.growth_steps);
  }
  const Graph::Scope scope(*graph.graph, "loss_scale");
  graph.loss_scale.scale = add_variable(graph, "scale", options.initial);
  graph.loss_scale.good_steps = add_variable(graph, "good_steps", 0);
  graph.loss_scale.skipped_steps = add_variable(graph, "skipped_steps", 0);
}

Value scaled_loss(const TrainGraph& graph, Value loss) {
  const Value scale = graph.loss_scale.scale;
  return scale.defined() ? loss * scale : loss;
}

void unscale_gradients(TrainGraph& graph, const LossScaleOptions& options) {
  LossScale& state = graph.loss_scale;
  if (!state.scale.defined()) return;
  const Graph::Scope scope(*graph.graph, "loss_scale");
  // 0 times what is not finite is no number, and so is any sum with it.
  Value zeros;
  for (Update& update : graph.updates) {
    const Graph::Scope device(*graph.graph, "", update.variable.node->device());
    Value& gradient = update.gradient.values;
    gradient = gradient * ops::reciprocal(state.scale);
    const std::string& name = update.variable.node->attribute<std::string>("name");
    if (!graph.variables->find(name)->copy_of.empty()) continue;  // equal to the original's
    const Value zero = ops::sum(gradient * number(graph, 0));
    zeros = zeros.defined() ? zeros + zero : zero;
  }
  TRIREME_CHECK(zeros.defined(), "there are no gradients to unscale");
  state.all_finite = ops::equal(zeros, number(graph, 0));
  const Value good = state.good_steps + number(graph, 1);
  const Value grows =
      ops::greater_equal(good, number(graph, static_cast<double>(options.growth_steps)));
  const Value doubled = ops::minimum(state.scale + state.scale, number(graph, kLargestScale));
  const Value halved = ops::maximum(state.scale * number(graph, 0.5), number(graph, 1));
  const Value none = number(graph, 0);
  const Value scale =
      ops::select(state.all_finite, ops::select(grows, doubled, state.scale), halved);
  const Value kept_good = ops::select(state.all_finite, ops::select(grows, none, good), none);
  const Value skipped = state.skipped_steps + ops::select(state.all_finite, none, number(graph, 1));
  graph.state_updates = {&ops::assign(state.scale, scale),
                         &ops::assign(state.good_steps, kept_good),
                         &ops::assign(state.skipped_steps, skipped)};
}

Value applied_step(const TrainGraph& graph) {
  const Value skipped = graph.loss_scale.skipped_steps;
  return skipped.defined() ? graph.step - ops::cast(skipped, DType::kInt64) : graph.step;
}

}  // namespace trireme::nn
