// Metrics: what is shown beside the loss. The graph computes means over the batch's examples, or
// sums; the host adds up those of an epoch's batches (RunningMeans), and so do workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/graph/graph.h"
#include "core/nn/losses.h"
#include "core/nn/running_means.h"
#include "core/tensor/tensor.h"

namespace trireme::nn {

struct Metric {
  using Kind = FigureKind;
  std::string name;
  // kMean: a number for each example, f32[batch], or for each element, f32[batch, time, …].
  // kRankedScores: of each example a score and its class (1: negative, 2: positive), f32[batch, 2].
  std::function<Value(Value predictions, Value labels)> function;
  LabelDomain labels = LabelDomain::kAny;  // fit and evaluate refuse others
  Kind kind = Kind::kMean;
  // What is shown from the figure, as in Loss; null: the figure.
  std::function<double(double mean)> finish = {};
  int label_power = 0;  // as in Loss
  // Of kMean: which elements count, as in Loss.
  std::function<Value(Value predictions, Value labels)> mask = {};
  std::optional<int64_t> ignored_class = {};  // as in Loss
  // Of kSums, instead of `function`: numbers that are added up over all examples, f32[n], where
  // each counts with its weight, f32[batch] or f32[batch, time, …]; undefined: 1.
  std::function<Value(Value predictions, Value labels, Value weights)> sums = {};
  // What RunningMeans::Quantity makes of them.
  std::function<std::optional<double>(std::span<const double> sums)> from_sums = {};
  std::function<std::optional<double>(const RankedScores&)> from_scores = {};
};

// A metric as it is computed in a pass: with what does not count left out, and weights.
struct MetricValue {
  std::string name;
  Value value;  // f32[], f32[n] or a row for each example, as `quantity` needs it
  RunningMeans::Quantity quantity = {};
  bool by_row() const { return quantity.kind == FigureKind::kRankedScores; }
};
// `weights`, `mask`: f32 and bool, of each example or element; undefined: all count as 1. Throws
// Error{kInvalidArgument} when the metric takes none.
MetricValue compute_metric(const Metric& metric, Value predictions, Value labels,
                           Value weights = {}, Value mask = {});
// `weights`, of each example or element, as factors of `values`.
Value weights_like(Value weights, Value values);

Metric sparse_categorical_accuracy(std::string name = "accuracy");  // argmax == label
Metric categorical_accuracy(std::string name = "accuracy");         // argmax == argmax of the label
// output > threshold == label > 0.5. A probability's threshold is 0.5.
Metric binary_accuracy(std::string name = "accuracy", double threshold = 0);
// The chance that a positive example scores higher than a negative one; see RankedScores.
// `predictions`: one logit an example. Labels are 0 and 1.
Metric area_under_curve_metric(std::string name = "auc");
// e to the power of the mean of the loss, which is a cross entropy.
Metric perplexity(const Loss& loss);
// The mean of a loss as a metric, named as the loss is.
Metric metric_of(const Loss& loss);
Metric mean_absolute_error();
Metric mean_squared_error_metric();

// The accuracy that belongs to `loss`, as in Keras: of labels that are class numbers, probabilities
// of classes, or from 0 to 1. Throws Error{kInvalidArgument} for other labels.
Metric accuracy(const Loss& loss);

// One of Trireme's with its defaults. Throws Error{kInvalidArgument} as Catalog::find().
Metric metric_from_name(std::string_view name, const Loss& loss);

// As for a loss.
Metric in_label_units(Metric metric, std::shared_ptr<const double> unit);

// A metric as a job file names it. To add one: derive a class, and add it in
// register_core_metrics(), or in a program's own list.
class MetricOptions : public Component {
 public:
  static constexpr std::string_view kFamily = "metric";
  void describe_common(OptionVisitor& visitor) override;  // name
  const std::string& name() const { return name_; }       // as it is shown; empty: the metric's
  // `loss`: the job's, which "accuracy" depends on.
  virtual Metric make(const Loss& loss) const = 0;

 private:
  std::string name_;
};
void register_core_metrics(Catalog<MetricOptions>& catalog);

}  // namespace trireme::nn
