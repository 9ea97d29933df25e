// The losses and metrics of a pass: masks and weights.
//
// As in Keras: the loss is Σ weight·loss / (number of elements), where a mask takes elements out of
// both; a weighted metric is Σ weight·value / Σ weight.
#include <limits>

#include "core/base/error.h"
#include "core/nn/train_graph.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// How much each example or element counts by its class; undefined: alike.
Value weights_of_classes(const Loss& loss, const LossInputs& inputs) {
  if (!inputs.class_weights.defined()) return {};
  Value classes = inputs.labels;
  const Shape labels = classes.shape();
  const bool column = labels.rank() > 1 && labels.dim(-1) == 1;
  switch (loss.labels) {
    case LabelDomain::kClass:
      classes = class_labels(loss.name, inputs.predictions, classes);
      if (loss.ignored_class) {
        const auto ignored = static_cast<double>(*loss.ignored_class);
        const Value one = ops::scalar(classes.graph(), classes.dtype(), ignored);
        classes = classes * ops::cast(ops::not_equal(classes, one), classes.dtype());
      }
      break;
    case LabelDomain::kDistribution:
      return ops::gather(inputs.class_weights, ops::argmax(classes));
    default:
      if (labels.rank() > 1 && !column) {
        throw invalid_argument(loss.name,
                               ": class weights need one class an example, found labels ",
                               inputs.labels.type());
      }
      if (column) classes = ops::squeeze(classes, {-1});
      // The nearer of 0 and 1.
      if (!is_integer(classes.dtype())) {
        classes = classes + ops::scalar(classes.graph(), classes.dtype(), 0.5);
      }
  }
  if (classes.dtype() != DType::kInt64) classes = ops::cast(classes, DType::kInt64);
  return ops::gather(inputs.class_weights, classes);
}

Value product(Value a, Value b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  return a.shape().rank() < b.shape().rank() ? weights_like(a, b) * b : a * weights_like(b, a);
}

struct LossTerm {
  Value value;   // a sum, or without a weight the mean
  Value weight;  // see Forward::loss_weight
};

LossTerm loss_term(const Loss& loss, const LossInputs& inputs, Value weights) {
  Value values = loss.function(inputs.predictions, inputs.labels);
  Value mask = inputs.mask;
  if (loss.mask) {
    const Value own = loss.mask(inputs.predictions, inputs.labels);
    mask = mask.defined() ? ops::logical_and(weights_like(mask, own), own) : own;
  }
  Value counts;
  if (mask.defined()) {
    if (mask.shape().rank() > values.shape().rank()) {
      throw invalid_argument(loss.name, ": the mask of the predictions is ", mask.type(),
                             ", the loss is ", values.type(), ": one number an example");
    }
    mask = weights_like(mask, values);
    values = ops::select(mask, values, ops::zeros_like(values));
    counts = ops::broadcast_like(ops::cast(mask, DType::kFloat32), values);
  }
  if (weights.defined()) {
    if (weights.shape().rank() > values.shape().rank()) {
      throw invalid_argument(loss.name, ": it gives one number an example, and the weights are ",
                             weights.type());
    }
    values = values * weights_like(weights, values);
  }
  if (!counts.defined()) return {ops::mean(values), {}};
  return {ops::sum(values), ops::sum(counts)};
}

}  // namespace

void add_losses(Forward& forward, std::span<const OutputLoss> outputs,
                std::span<const LossInputs> inputs) {
  TRIREME_CHECK(!outputs.empty() && outputs.size() == inputs.size(), "losses without outputs");
  const bool several = outputs.size() > 1;
  Value total;
  std::vector<Value> weights;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputLoss& output = outputs[i];
    weights.push_back(
        product(inputs[i].sample_weights, weights_of_classes(output.loss, inputs[i])));
    const LossTerm term = loss_term(output.loss, inputs[i], weights[i]);
    Graph& graph = term.value.graph();
    Value mean = term.value;
    if (term.weight.defined()) {
      // Each output would have another share of what the workers have.
      if (several) {
        throw invalid_argument("output \"", output.output,
                               "\": a mask or ignore_class goes with a single loss only");
      }
      const Value some = ops::scalar(graph, DType::kFloat32, std::numeric_limits<float>::min());
      mean = mean / ops::maximum(term.weight, some);
    }
    if (several) {
      forward.metrics.push_back({output.output + "_loss", mean, {.finish = output.loss.finish}});
    } else {
      forward.loss_weight = term.weight;
      if (output.weight == 1) forward.loss_quantity.finish = output.loss.finish;
    }
    if (output.weight != 1) mean = mean * ops::scalar(graph, DType::kFloat32, output.weight);
    total = total.defined() ? total + mean : mean;
  }
  // Shares of a batch add up to 1, and so a penalty of variables counts once in a sum over shards.
  for (const AddedLoss& added : forward.added_losses) total = total + added.value;
  forward.loss = total;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto add = [&](const Metric& metric, Value counts) {
      MetricValue value =
          compute_metric(metric, inputs[i].predictions, inputs[i].labels, counts, inputs[i].mask);
      if (several) value.name = outputs[i].output + "_" + value.name;
      for (const MetricValue& other : forward.metrics) {
        if (other.name != value.name) continue;
        throw invalid_argument("two metrics are shown as \"", value.name,
                               "\"; give one of them another name");
      }
      forward.metrics.push_back(std::move(value));
    };
    for (const Metric& metric : outputs[i].metrics) add(metric, {});
    for (const Metric& metric : outputs[i].weighted_metrics) add(metric, weights[i]);
  }
}

RunningMeans running_means(const Forward& forward) {
  std::vector<RunningMeans::Quantity> quantities = {forward.loss_quantity};
  for (const MetricValue& metric : forward.metrics) quantities.push_back(metric.quantity);
  return RunningMeans(std::move(quantities));
}

}  // namespace trireme::nn
