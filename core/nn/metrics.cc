#include "core/nn/metrics.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/count_metrics.h"
#include "core/nn/mean_metrics.h"
#include "core/nn/ranked_metrics.h"
#include "core/nn/regression_losses.h"
#include "core/ops/ops.h"

namespace trireme::nn {
Value weights_like(Value weights, Value values) {
  const int missing = values.shape().rank() - weights.shape().rank();
  ops::Axes axes;
  for (int i = 0; i < missing; ++i) axes.push_back(weights.shape().rank() + i);
  return missing > 0 ? ops::expand_dims(weights, axes) : weights;
}

namespace {

// Σ weights·values, and Σ weights.
MetricValue weighted_mean(const Metric& metric, Value values, Value weights) {
  weights = weights_like(weights, values);
  const Value all = ops::broadcast_like(weights, values);
  const Value sums = ops::concat(
      {ops::reshape(ops::sum(values * weights), {1}), ops::reshape(ops::sum(all), {1})}, 0);
  return {metric.name,
          sums,
          {.kind = FigureKind::kSums,
           .finish = metric.finish,
           .sums = 2,
           .from_sums = [](std::span<const double> s) -> std::optional<double> {
             if (s[1] == 0) return std::nullopt;
             return s[0] / s[1];
           }}};
}

}  // namespace

MetricValue compute_metric(const Metric& metric, Value predictions, Value labels, Value weights,
                           Value mask) {
  RunningMeans::Quantity quantity{.kind = metric.kind, .finish = metric.finish};
  if (metric.kind == FigureKind::kRankedScores) {
    if (weights.defined() || mask.defined()) {
      throw invalid_argument(
          "metric \"", metric.name, "\": it is of the ranks of scores, and takes ", "no ",
          weights.defined() ? "weights" : "mask",
          weights.defined() ? "; name it in metrics, not in weighted_metrics" : "");
    }
    quantity.from_scores = metric.from_scores;
    return {metric.name, metric.function(predictions, labels), quantity};
  }
  if (metric.kind == FigureKind::kSums) {
    if (mask.defined()) {
      const Value counts = ops::cast(mask, DType::kFloat32);
      weights = weights.defined() ? weights_like(weights, counts) * counts : counts;
    }
    const Value sums = metric.sums(predictions, labels, weights);
    quantity.sums = static_cast<size_t>(sums.shape().elements());
    quantity.from_sums = metric.from_sums;
    return {metric.name, sums, quantity};
  }
  Value values = metric.function(predictions, labels);
  if (metric.mask) {
    const Value own = metric.mask(predictions, labels);
    mask = mask.defined() ? ops::logical_and(mask, own) : own;
  }
  if (mask.defined()) {
    mask = weights_like(mask, values);
    values = ops::select(mask, values, ops::zeros_like(values));
    const Value counts = ops::cast(mask, DType::kFloat32);
    weights = weights.defined() ? weights_like(weights, counts) * counts : counts;
  }
  if (weights.defined()) return weighted_mean(metric, values, weights);
  return {metric.name, ops::mean(values), quantity};
}

Metric sparse_categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = class_labels("accuracy", predictions, labels);
            if (labels.dtype() != DType::kInt64) labels = ops::cast(labels, DType::kInt64);
            return ops::cast(ops::equal(ops::argmax(predictions), labels), DType::kFloat32);
          }};
}

Metric categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            return ops::cast(ops::equal(ops::argmax(predictions), ops::argmax(labels)),
                             DType::kFloat32);
          }};
}

Metric binary_accuracy(std::string name, double threshold) {
  return {name, [threshold](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            Graph& graph = predictions.graph();
            const Value cut = ops::scalar(graph, DType::kFloat32, threshold);
            const Value half = ops::scalar(graph, DType::kFloat32, 0.5);
            const Value hit = ops::equal(ops::cast(ops::greater(predictions, cut), DType::kFloat32),
                                         ops::cast(ops::greater(labels, half), DType::kFloat32));
            return mean_of_last_axis(ops::cast(hit, DType::kFloat32));
          }};
}

Metric metric_of(const Loss& loss) {
  return {.name = loss.name,
          .function = loss.function,
          .labels = loss.labels,
          .finish = loss.finish,
          .label_power = loss.label_power,
          .mask = loss.mask,
          .ignored_class = loss.ignored_class};
}

Metric mean_absolute_error() { return metric_of(mean_absolute_error_loss()); }
Metric mean_squared_error_metric() { return metric_of(mean_squared_error()); }

Metric perplexity(const Loss& loss) {
  if (loss.labels != LabelDomain::kClass && loss.labels != LabelDomain::kDistribution) {
    throw invalid_argument("metric \"perplexity\": it is of a cross entropy of classes, and the ",
                           "loss is \"", loss.name, "\"");
  }
  Metric metric = metric_of(loss);
  metric.name = "perplexity";
  metric.finish = [](double mean) { return std::exp(mean); };
  return metric;
}

namespace {

// What the loss leaves out is no hit and no miss.
Metric of_counted(Metric metric, const Loss& loss) {
  metric.mask = loss.mask;
  metric.ignored_class = loss.ignored_class;
  return metric;
}

}  // namespace

Metric accuracy(const Loss& loss) {
  switch (loss.labels) {
    case LabelDomain::kClass:
      return of_counted(sparse_categorical_accuracy(), loss);
    case LabelDomain::kDistribution:
      return categorical_accuracy();
    case LabelDomain::kUnitInterval:
    case LabelDomain::kZeroOrOne:
      return binary_accuracy("accuracy", loss.takes_logits ? 0 : 0.5);
    case LabelDomain::kSign:
      return binary_accuracy("accuracy", 0);
    case LabelDomain::kAny:
    case LabelDomain::kFinite:
    case LabelDomain::kNotNegative:
    case LabelDomain::kWeight:
      break;
  }
  throw invalid_argument("metric \"accuracy\" has no meaning for the loss \"", loss.name,
                         "\"; use mean_absolute_error");
}

Metric in_label_units(Metric metric, std::shared_ptr<const double> unit) {
  metric.finish = in_label_units(std::move(metric.finish), metric.label_power, std::move(unit));
  return metric;
}

namespace {

class AccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss& loss) const override { return accuracy(loss); }
};

class SparseCategoricalAccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override {
    return sparse_categorical_accuracy("sparse_categorical_accuracy");
  }
};

class CategoricalAccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return categorical_accuracy("categorical_accuracy"); }
};

class BinaryAccuracyOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "threshold",
                   .help = "an output above it means 1",
                   .default_text = "0 with a loss that takes logits, else 0.5"},
                  threshold_);
  }
  Metric make(const Loss& loss) const override {
    return binary_accuracy("binary_accuracy", threshold_.value_or(loss.takes_logits ? 0 : 0.5));
  }

 private:
  std::optional<double> threshold_;
};

class PerplexityOptions : public MetricOptions {
 public:
  Metric make(const Loss& loss) const override { return perplexity(loss); }
};

}  // namespace

void MetricOptions::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "name",
                 .help = "as it is shown, where there are several of a kind",
                 .default_text = "that of the metric"},
                name_);
}

void register_core_metrics(Catalog<MetricOptions>& catalog) {
  catalog.add<AccuracyOptions>("accuracy", "accuracy",
                               "The accuracy that belongs to the labels that the loss takes.");
  catalog.add<SparseCategoricalAccuracyOptions>(
      "sparse_categorical_accuracy", "SparseCategoricalAccuracy",
      "How often the largest output is that of the class whose number is the label.");
  catalog.add<CategoricalAccuracyOptions>(
      "categorical_accuracy", "CategoricalAccuracy",
      "How often the largest output and the largest label are those of one class.");
  catalog.add<BinaryAccuracyOptions>("binary_accuracy", "BinaryAccuracy",
                                     "How often an output is on its label's side of a threshold.");
  catalog.add<PerplexityOptions>("perplexity", "",
                                 "e to the power of the loss's mean, a cross entropy of classes.");
  register_mean_metrics(catalog);
  register_count_metrics(catalog);
  register_ranked_metrics(catalog);
}

Metric metric_from_name(std::string_view name, const Loss& loss) {
  Catalog<MetricOptions> catalog;
  register_core_metrics(catalog);
  return catalog.make(name)->make(loss);
}

}  // namespace trireme::nn
