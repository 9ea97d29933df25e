#include "core/nn/mean_metrics.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/class_losses.h"
#include "core/nn/regression_losses.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Whether fewer than `k` of the last axis of `all` are larger than `right`; false for a NaN.
Value is_among_first(Value all, Value right, int64_t k) {
  const Value larger = ops::cast(ops::greater(all, ops::expand_dims(right, {-1})), DType::kFloat32);
  const Value count = ops::sum(larger, {-1});
  const Value most = ops::scalar(all.graph(), DType::kFloat32, static_cast<double>(k));
  return ops::cast(ops::logical_and(ops::less(count, most), ops::equal(right, right)),
                   DType::kFloat32);
}

Metric of_output(std::string name, std::function<Value(Value predictions)> function) {
  return {.name = std::move(name),
          .function = [function = std::move(function)](Value p, Value) { return function(p); }};
}

}  // namespace

Metric sparse_top_k_categorical_accuracy(int64_t k) {
  const std::string name = "sparse_top_k_categorical_accuracy";
  return {.name = name,
          .function =
              [=](Value p, Value y) {
                y = class_labels(name, p, y);
                const Value chosen = ops::one_hot(y, p.shape().dim(-1));
                return is_among_first(p, ops::sum(chosen * p, {-1}), k);
              },
          .labels = LabelDomain::kClass};
}

Metric top_k_categorical_accuracy(int64_t k) {
  const std::string name = "top_k_categorical_accuracy";
  return {.name = name,
          .function =
              [=](Value p, Value y) {
                y = match_labels(name, p, y);
                const Value chosen = ops::one_hot(ops::argmax(y), p.shape().dim(-1));
                return is_among_first(p, ops::sum(chosen * p, {-1}), k);
              },
          .labels = LabelDomain::kDistribution};
}

Metric root_mean_squared_error() {
  Metric metric = metric_of(mean_squared_error());
  metric.name = "root_mean_squared_error";
  metric.finish = [](double mean) { return std::sqrt(mean); };
  return metric;
}

Metric cosine_similarity_metric() {
  Metric metric = metric_of(cosine_similarity());
  metric.function = [loss = metric.function](Value p, Value y) { return -loss(p, y); };
  return metric;
}

Metric in_batch_top_k_accuracy(int64_t k, int64_t group) {
  const std::string name = str_cat("in_batch_top_", k, "_accuracy");
  return {.name = name, .function = [=](Value p, Value y) {
            const InBatchScores scores = in_batch_scores(name, p, y, group);
            return ops::reshape(is_among_first(scores.others, scores.right, k), {-1});
          }};
}

namespace {

template <Loss (*make_loss)()>
class LossMetric : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return metric_of(make_loss()); }
};
template <Metric (*make_metric)()>
class PlainMetric : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return make_metric(); }
};

template <Metric (*make_metric)(int64_t k)>
class TopKOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "k", .help = "how many classes count as the first", .range = at_least(1)}, k_);
  }
  Metric make(const Loss&) const override { return make_metric(k_); }

 private:
  int64_t k_ = 5;
};

class InBatchTopKOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "k", .help = "how many candidates count as the first", .range = at_least(1)},
            k_);
    v.field({.name = "group", .help = "as in the loss in_batch_softmax", .range = at_least(0)},
            group_);
  }
  Metric make(const Loss&) const override { return in_batch_top_k_accuracy(k_, group_); }

 private:
  int64_t k_ = 1, group_ = 0;
};

// A cross entropy; whether it takes logits follows from the job's loss.
template <Loss (*make_loss)(bool from_logits)>
class CrossEntropyMetric : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "from_logits",
             .help = "the outputs are logits, else probabilities",
             .default_text = "as the loss takes them"},
            from_logits_);
  }
  Metric make(const Loss& loss) const override {
    return metric_of(make_loss(from_logits_.value_or(loss.takes_logits)));
  }

 private:
  std::optional<bool> from_logits_;
};
Loss binary(bool from_logits) { return binary_cross_entropy(from_logits); }
Loss categorical(bool from_logits) { return categorical_cross_entropy(from_logits); }
Loss sparse(bool from_logits) { return sparse_categorical_cross_entropy(from_logits); }

Metric mean_of_output() {
  return of_output("mean", [](Value p) { return mean_of_last_axis(p); });
}
Metric sum_of_output() {
  Metric metric{.name = "sum", .kind = FigureKind::kSums};
  metric.sums = [](Value p, Value, Value w) {
    if (w.defined()) p = p * weights_like(w, p);
    return ops::reshape(ops::sum(p), {1});
  };
  metric.from_sums = [](std::span<const double> sums) -> std::optional<double> { return sums[0]; };
  return metric;
}

// The correlation of outputs and labels along the last axis, for each example. `concordance`: less
// where their means or their variances differ.
Value correlation(std::string_view what, Value p, Value y, bool concordance) {
  y = match_labels(what, p, y);
  const Value p_mean = ops::mean(p, {-1}, true), y_mean = ops::mean(y, {-1}, true);
  const Value p_rest = p - p_mean, y_rest = y - y_mean;
  const Value p_variance = ops::mean(ops::square(p_rest), {-1}),
              y_variance = ops::mean(ops::square(y_rest), {-1});
  const Value both = ops::mean(p_rest * y_rest, {-1});
  const Value small = ops::scalar(p.graph(), DType::kFloat32, 1e-7);
  if (!concordance) {
    return both * ops::rsqrt(ops::maximum(p_variance, small)) *
           ops::rsqrt(ops::maximum(y_variance, small));
  }
  const Value two = ops::scalar(p.graph(), DType::kFloat32, 2);
  const Value apart = ops::square(ops::squeeze(p_mean - y_mean, {-1}));
  return two * both / (p_variance + y_variance + apart + small);
}
Metric pearson_correlation() {
  return {
      .name = "pearson_correlation",
      .function = [](Value p, Value y) { return correlation("pearson_correlation", p, y, false); },
      .labels = LabelDomain::kFinite};
}
Metric concordance_correlation() {
  return {.name = "concordance_correlation",
          .function = [](Value p,
                         Value y) { return correlation("concordance_correlation", p, y, true); },
          .labels = LabelDomain::kFinite};
}

}  // namespace

void register_mean_metrics(Catalog<MetricOptions>& catalog) {
  catalog.add<PlainMetric<mean_absolute_error>>("mean_absolute_error", "MeanAbsoluteError",
                                                "Mean of |output − label|.");
  catalog.add<PlainMetric<mean_squared_error_metric>>("mean_squared_error", "MeanSquaredError",
                                                      "Mean of (output − label)².");
  catalog.add<PlainMetric<root_mean_squared_error>>("root_mean_squared_error",
                                                    "RootMeanSquaredError",
                                                    "The root of the mean of (output − label)².");
  catalog.add<LossMetric<mean_absolute_percentage_error>>(
      "mean_absolute_percentage_error", "MeanAbsolutePercentageError",
      "Mean of 100·|output − label| / |label|.");
  catalog.add<LossMetric<mean_squared_logarithmic_error>>(
      "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError",
      "Mean of (log(1 + output) − log(1 + label))².");
  catalog.add<LossMetric<log_cosh>>("log_cosh", "LogCoshError",
                                    "Mean of the logarithm of the error's hyperbolic cosine.");
  catalog.add<LossMetric<poisson>>("poisson", "Poisson", "Mean of output − label·log(output).");
  catalog.add<LossMetric<kl_divergence>>("kl_divergence", "KLDivergence",
                                         "Mean of the sum of label·log(label / output).");
  catalog.add<LossMetric<hinge>>("hinge", "Hinge", "Mean of max(0, 1 − label·output).");
  catalog.add<LossMetric<squared_hinge>>("squared_hinge", "SquaredHinge",
                                         "Mean of max(0, 1 − label·output)².");
  catalog.add<LossMetric<categorical_hinge>>(
      "categorical_hinge", "CategoricalHinge",
      "Mean of max(0, 1 + the largest output of another class − that of the label's).");
  catalog.add<PlainMetric<cosine_similarity_metric>>(
      "cosine_similarity", "CosineSimilarity", "1 where output and label point the same way.");
  catalog.add<PlainMetric<pearson_correlation>>(
      "pearson_correlation", "PearsonCorrelation",
      "Mean over the examples of the correlation of outputs and labels along the last axis.");
  catalog.add<PlainMetric<concordance_correlation>>(
      "concordance_correlation", "ConcordanceCorrelation",
      "As pearson_correlation, and less where means or variances differ.");
  catalog.add<CrossEntropyMetric<binary>>("binary_cross_entropy", "BinaryCrossentropy",
                                          "Mean of the loss of that name.");
  catalog.add<CrossEntropyMetric<categorical>>(
      "categorical_cross_entropy", "CategoricalCrossentropy", "Mean of the loss of that name.");
  catalog.add<CrossEntropyMetric<sparse>>("sparse_categorical_cross_entropy",
                                          "SparseCategoricalCrossentropy",
                                          "Mean of the loss of that name.");
  catalog.add<TopKOptions<sparse_top_k_categorical_accuracy>>(
      "sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy",
      "How often fewer than k outputs are larger than that of the class whose number is the "
      "label.");
  catalog.add<TopKOptions<top_k_categorical_accuracy>>(
      "top_k_categorical_accuracy", "TopKCategoricalAccuracy",
      "How often fewer than k outputs are larger than that of the class of the largest label.");
  catalog.add<InBatchTopKOptions>(
      "in_batch_top_k_accuracy", "",
      "Of in_batch_softmax: how often fewer than k candidates score higher than the right one.");
  catalog.add<PlainMetric<mean_of_output>>("mean", "Mean", "Mean of the outputs.");
  catalog.add<PlainMetric<sum_of_output>>("sum", "Sum", "Sum of all outputs.");
}

}  // namespace trireme::nn
