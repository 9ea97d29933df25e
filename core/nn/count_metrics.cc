#include "core/nn/count_metrics.h"

#include <cmath>

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

using Figure = std::optional<double>;

Figure ratio(double part, double whole) {
  if (whole == 0) return std::nullopt;
  return part / whole;
}

// How outputs become classes.
struct Decision {
  std::string what;      // the metric, for messages
  bool largest = false;  // the class of the largest output
  double threshold = 0;
  std::optional<int64_t> ignored = {};  // a label that has no weight
};

Decision decision(std::string what, const Loss& loss, std::optional<double> threshold) {
  const bool one_is_right =
      loss.labels == LabelDomain::kClass || loss.labels == LabelDomain::kDistribution;
  return {.what = std::move(what),
          .largest = one_is_right && !threshold,
          .threshold = threshold.value_or(loss.takes_logits ? 0 : 0.5),
          .ignored = loss.ignored_class};
}

// f32 [elements, classes] of 0 and 1, with one column for two classes; weights f32[elements, 1].
struct Found {
  Value found, there, weights;
  int64_t classes = 0;
};

Found find(const Decision& decision, Value predictions, Value labels, Value weights) {
  const Shape& shape = predictions.shape();
  const int64_t classes = shape.rank() < 2 ? 1 : shape.dim(-1);
  if (shape.rank() == 0 || classes < 1) {
    throw invalid_argument(decision.what, ": expected predictions [batch, classes], found ",
                           predictions.type());
  }
  const Shape& given = labels.shape();
  const bool are_numbers =
      classes > 1 && is_integer(labels.dtype()) &&
      (given.rank() == shape.rank() - 1 || (given.rank() == shape.rank() && given.dim(-1) == 1));
  Graph& graph = predictions.graph();
  const auto as_float = [](Value x) { return ops::cast(x, DType::kFloat32); };
  Found result{.classes = classes};
  if (are_numbers) {
    labels = class_labels(decision.what, predictions, labels);
    if (decision.ignored) {
      const auto ignored = static_cast<double>(*decision.ignored);
      const Value counts = ops::not_equal(labels, ops::scalar(graph, labels.dtype(), ignored));
      labels = labels * ops::cast(counts, labels.dtype());
      weights = weights.defined() ? weights_like(weights, as_float(counts)) * as_float(counts)
                                  : as_float(counts);
    }
    result.there = ops::one_hot(ops::reshape(labels, {-1}), classes);
  } else {
    labels = match_labels(decision.what, predictions, labels);
    const Value half = ops::scalar(graph, DType::kFloat32, 0.5);
    result.there = ops::reshape(as_float(ops::greater(labels, half)), {-1, classes});
  }
  const Value rows = ops::reshape(predictions, {-1, classes});
  if (decision.largest && classes > 1) {
    result.found = ops::one_hot(ops::argmax(rows), classes);
  } else {
    const Value cut = ops::scalar(graph, DType::kFloat32, decision.threshold);
    result.found = as_float(ops::greater(rows, cut));
  }
  if (weights.defined()) {
    // One for each row: those of examples hold for all of their elements.
    if (shape.rank() > 2) {
      Value like = ops::max(predictions, {-1});
      weights = ops::broadcast_like(weights_like(weights, like), like);
    }
    result.weights = ops::reshape(weights, {-1, 1});
  }
  return result;
}

Value weighted(Value x, Value weights) { return weights.defined() ? x * weights : x; }

// Of each class: found rightly, found, there; then the weight of all elements.
Value count(const Decision& decision, Value predictions, Value labels, Value weights) {
  const Found f = find(decision, predictions, labels, weights);
  const Value found = weighted(f.found, f.weights);
  const Value all = weighted(ops::slice(ops::ones_like(f.found), {0, 0}, {-1, 1}), f.weights);
  return ops::concat({ops::sum(found * f.there, {0}), ops::sum(found, {0}),
                      ops::sum(weighted(f.there, f.weights), {0}), ops::sum(all, {0})},
                     0);
}

struct Counts {
  double right = 0, found = 0, there = 0, all = 0;
};

Figure precision_of(const Counts& c) { return ratio(c.right, c.found); }
Figure recall_of(const Counts& c) { return ratio(c.right, c.there); }

// A figure of classes' counts.
Metric of_counts(std::string name, const Loss& loss, const CountOptions& options,
                 const std::function<Figure(const Counts&)>& figure) {
  Metric metric{.name = std::move(name),
                .labels = loss.labels == LabelDomain::kFinite || loss.labels == LabelDomain::kAny
                              ? LabelDomain::kUnitInterval
                              : LabelDomain::kAny,
                .kind = FigureKind::kSums};
  const Decision how = decision(metric.name, loss, options.threshold);
  metric.sums = [how, options](Value predictions, Value labels, Value weights) {
    const int64_t classes = predictions.shape().rank() < 2 ? 1 : predictions.shape().dim(-1);
    if (options.class_id && *options.class_id >= classes) {
      throw invalid_argument(how.what, ": class_id: expected a class from 0 to ", classes - 1,
                             ", found ", *options.class_id);
    }
    return count(how, predictions, labels, weights);
  };
  metric.from_sums = [options, figure](std::span<const double> sums) -> Figure {
    const size_t classes = sums.size() / 3;
    const auto counts_of = [&](size_t i) {
      return Counts{sums[i], sums[classes + i], sums[2 * classes + i], sums.back()};
    };
    if (options.class_id) return figure(counts_of(static_cast<size_t>(*options.class_id)));
    if (options.average == MetricAverage::kMicro) {
      Counts all;
      for (size_t i = 0; i < classes; ++i) {
        const Counts one = counts_of(i);
        all = {all.right + one.right, all.found + one.found, all.there + one.there,
               all.all + one.all};
      }
      return figure(all);
    }
    double sum = 0, whole = 0;
    for (size_t i = 0; i < classes; ++i) {
      const Counts one = counts_of(i);
      const double weight = options.average == MetricAverage::kMacro ? 1 : one.there;
      const Figure of_class = figure(one);
      if (!of_class || weight == 0) continue;
      sum += weight * *of_class;
      whole += weight;
    }
    return ratio(sum, whole);
  };
  return metric;
}

// Row of the class that is there, column of the one that was found, then the next row.
Value confusion(const Decision& decision, Value predictions, Value labels, Value weights) {
  Found f = find(decision, predictions, labels, weights);
  if (f.classes == 1) {
    const Value one = ops::scalar(predictions.graph(), DType::kFloat32, 1);
    f.found = ops::concat({one - f.found, f.found}, 1);
    f.there = ops::concat({one - f.there, f.there}, 1);
  }
  return ops::reshape(ops::matmul(weighted(f.there, f.weights), f.found, true), {-1});
}

}  // namespace

Metric precision(const Loss& loss, const CountOptions& options) {
  return of_counts("precision", loss, options, precision_of);
}

Metric recall(const Loss& loss, const CountOptions& options) {
  return of_counts("recall", loss, options, recall_of);
}

Metric f_beta_score(const Loss& loss, double beta, const CountOptions& options) {
  const double square = beta * beta;
  return of_counts("f_beta_score", loss, options, [square](const Counts& c) {
    return ratio((1 + square) * c.right, square * c.there + c.found);
  });
}

Metric f1_score(const Loss& loss, const CountOptions& options) {
  Metric metric = f_beta_score(loss, 1, options);
  metric.name = "f1_score";
  return metric;
}

Metric true_positives(const Loss& loss, const CountOptions& options) {
  return of_counts("true_positives", loss, options, [](const Counts& c) { return c.right; });
}

Metric false_positives(const Loss& loss, const CountOptions& options) {
  return of_counts("false_positives", loss, options,
                   [](const Counts& c) { return c.found - c.right; });
}

Metric true_negatives(const Loss& loss, const CountOptions& options) {
  return of_counts("true_negatives", loss, options,
                   [](const Counts& c) { return c.all - c.found - c.there + c.right; });
}

Metric false_negatives(const Loss& loss, const CountOptions& options) {
  return of_counts("false_negatives", loss, options,
                   [](const Counts& c) { return c.there - c.right; });
}

Metric confusion_matrix(const Loss& loss, std::optional<double> threshold) {
  Metric metric{.name = "confusion_matrix", .kind = FigureKind::kSums};
  metric.sums = [how = decision(metric.name, loss, threshold)](Value p, Value y, Value w) {
    return confusion(how, p, y, w);
  };
  return metric;
}

Metric mean_iou(const Loss& loss, std::string name, const std::vector<int64_t>& classes,
                std::optional<double> threshold) {
  Metric metric{.name = std::move(name), .kind = FigureKind::kSums};
  metric.sums = [how = decision(metric.name, loss, threshold), classes](Value p, Value y, Value w) {
    const Value sums = confusion(how, p, y, w);
    for (const int64_t one : classes) {
      if (one * one < sums.shape()[0]) continue;
      throw invalid_argument(how.what, ": there is no class ", one, "; the model has ",
                             std::sqrt(sums.shape()[0]), " classes");
    }
    return sums;
  };
  metric.from_sums = [classes](std::span<const double> sums) -> Figure {
    const auto n = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(sums.size()))));
    double sum = 0, whole = 0;
    const auto add = [&](size_t one) {
      double found = 0, there = 0;
      for (size_t i = 0; i < n; ++i) {
        there += sums[one * n + i];
        found += sums[i * n + one];
      }
      const double right = sums[one * n + one];
      if (found + there == 0) return;
      sum += right / (found + there - right);
      ++whole;
    };
    for (size_t i = 0; i < n && classes.empty(); ++i) add(i);
    for (const int64_t one : classes) add(static_cast<size_t>(one));
    return ratio(sum, whole);
  };
  return metric;
}

Metric r2_score(bool by_variance) {
  Metric metric{.name = "r2_score", .labels = LabelDomain::kFinite, .kind = FigureKind::kSums};
  metric.sums = [](Value p, Value y, Value w) {
    y = match_labels("r2_score", p, y);
    const int64_t columns = p.shape().rank() < 2 ? 1 : p.shape().dim(-1);
    if (p.shape().rank() > 2 || columns < 1) {
      throw invalid_argument("r2_score: expected predictions [batch, columns], found ", p.type());
    }
    p = ops::reshape(p, {-1, columns});
    y = ops::reshape(y, {-1, columns});
    if (w.defined()) w = ops::reshape(w, {-1, 1});
    const Value all = weighted(ops::slice(ops::ones_like(y), {0, 0}, {-1, 1}), w);
    return ops::concat({ops::sum(weighted(y, w), {0}), ops::sum(weighted(ops::square(y), w), {0}),
                        ops::sum(weighted(ops::square(y - p), w), {0}), ops::sum(all, {0})},
                       0);
  };
  metric.from_sums = [by_variance](std::span<const double> sums) -> Figure {
    const size_t columns = sums.size() / 3;
    double sum = 0, whole = 0;
    for (size_t i = 0; i < columns; ++i) {
      const double total = sums[columns + i] - sums[i] * sums[i] / sums.back();
      if (!(total > 0)) continue;  // all labels are the same
      const double weight = by_variance ? total : 1;
      sum += weight * (1 - sums[2 * columns + i] / total);
      whole += weight;
    }
    return ratio(sum, whole);
  };
  return metric;
}

namespace {

constexpr EnumName<MetricAverage> kAverages[] = {{MetricAverage::kMicro, "MICRO"},
                                                 {MetricAverage::kMacro, "MACRO"},
                                                 {MetricAverage::kWeighted, "WEIGHTED"}};

void describe_threshold(OptionVisitor& v, std::optional<double>& threshold) {
  v.field({.name = "threshold",
           .help = "an output above it means that the class was found",
           .default_text = "the largest output where one class is right; else 0 with a loss that "
                           "takes logits, or 0.5"},
          threshold);
}

class CountMetric : public MetricOptions {
 public:
  explicit CountMetric(MetricAverage average = MetricAverage::kMicro) {
    options_.average = average;
  }
  void describe(OptionVisitor& v) override {
    describe_threshold(v, options_.threshold);
    v.field({.name = "average", .help = "how the figures of several classes become one"},
            options_.average, kAverages);
    v.field({.name = "class_id",
             .help = "only this class",
             .range = at_least(0),
             .default_text = "all"},
            options_.class_id);
  }

 protected:
  CountOptions options_;
};

template <Metric (*make_metric)(const Loss&, const CountOptions&)>
class CountMetricOf : public CountMetric {
 public:
  Metric make(const Loss& loss) const override { return make_metric(loss, options_); }
};

class F1Options : public CountMetric {
 public:
  F1Options() : CountMetric(MetricAverage::kMacro) {}
  Metric make(const Loss& loss) const override { return f1_score(loss, options_); }
};

class FBetaOptions : public CountMetric {
 public:
  FBetaOptions() : CountMetric(MetricAverage::kMacro) {}
  void describe(OptionVisitor& v) override {
    v.field(
        {.name = "beta", .help = "how much more recall counts than precision", .range = above(0)},
        beta_);
    CountMetric::describe(v);
  }
  Metric make(const Loss& loss) const override { return f_beta_score(loss, beta_, options_); }

 private:
  double beta_ = 1;
};

class ConfusionMatrixOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override { describe_threshold(v, threshold_); }
  Metric make(const Loss& loss) const override { return confusion_matrix(loss, threshold_); }

 private:
  std::optional<double> threshold_;
};

class MeanIouOptions : public MetricOptions {
 public:
  Metric make(const Loss& loss) const override { return mean_iou(loss); }
};

class OneHotMeanIouOptions : public MetricOptions {
 public:
  Metric make(const Loss& loss) const override { return mean_iou(loss, "one_hot_mean_iou"); }
};

class IouOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "target_class_ids",
             .help = "the classes whose mean it is",
             .range = at_least(0),
             .default_text = "all"},
            classes_);
  }
  Metric make(const Loss& loss) const override { return mean_iou(loss, "iou", classes_); }

 protected:
  std::vector<int64_t> classes_;
};

class OneHotIouOptions : public IouOptions {
 public:
  Metric make(const Loss& loss) const override { return mean_iou(loss, "one_hot_iou", classes_); }
};

class BinaryIouOptions : public IouOptions {
 public:
  void describe(OptionVisitor& v) override {
    describe_threshold(v, threshold_);
    IouOptions::describe(v);
  }
  Metric make(const Loss& loss) const override {
    return mean_iou(loss, "binary_iou", classes_, threshold_);
  }

 private:
  std::optional<double> threshold_;
};

class R2Options : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "by_variance",
             .help = "columns count by the variance of their labels, else all alike"},
            by_variance_);
  }
  Metric make(const Loss&) const override { return r2_score(by_variance_); }

 private:
  bool by_variance_ = false;
};

}  // namespace

void register_count_metrics(Catalog<MetricOptions>& catalog) {
  catalog.add<CountMetricOf<precision>>("precision", "Precision",
                                        "The share of what was found that is right.");
  catalog.add<CountMetricOf<recall>>("recall", "Recall",
                                     "The share of what is there that was found.");
  catalog.add<F1Options>("f1_score", "F1Score", "The harmonic mean of precision and recall.");
  catalog.add<FBetaOptions>("f_beta_score", "FBetaScore",
                            "The harmonic mean of precision and recall, weighted by beta.");
  catalog.add<CountMetricOf<true_positives>>("true_positives", "TruePositives",
                                             "How often what was found is right.");
  catalog.add<CountMetricOf<false_positives>>("false_positives", "FalsePositives",
                                              "How often what was found is wrong.");
  catalog.add<CountMetricOf<true_negatives>>("true_negatives", "TrueNegatives",
                                             "How often what was not found is not there.");
  catalog.add<CountMetricOf<false_negatives>>("false_negatives", "FalseNegatives",
                                              "How often what is there was not found.");
  catalog.add<ConfusionMatrixOptions>(
      "confusion_matrix", "",
      "A table, shown at the end: how often examples of each class were taken for each class.");
  catalog.add<MeanIouOptions>(
      "mean_iou", "MeanIoU",
      "Mean over the classes of what was found rightly / what was found or is there.");
  catalog.add<IouOptions>("iou", "IoU", "As mean_iou, over some of the classes.");
  catalog.add<OneHotIouOptions>("one_hot_iou", "OneHotIoU",
                                "As iou; labels may be one-hot in either.");
  catalog.add<OneHotMeanIouOptions>("one_hot_mean_iou", "OneHotMeanIoU",
                                    "As mean_iou; labels may be one-hot in either.");
  catalog.add<BinaryIouOptions>("binary_iou", "BinaryIoU",
                                "As iou, of two classes on either side of a threshold.");
  catalog.add<R2Options>("r2_score", "R2Score",
                         "The share of the labels' variance that the outputs explain.");
}

}  // namespace trireme::nn
