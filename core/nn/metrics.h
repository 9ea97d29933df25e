// Metrics: what is shown beside the loss. The graph computes means over the batch's examples; the
// host adds up the means of an epoch's batches weighted by their examples, and so do workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/area_under_curve.h"
#include "core/catalog/catalog.h"
#include "core/graph/graph.h"
#include "core/nn/losses.h"
#include "core/tensor/tensor.h"

namespace trireme::nn {

struct Metric {
  enum class Kind {
    kMean,            // the mean over the examples of a number for each, f32[batch]
    kAreaUnderCurve,  // of a score for each and its class (1: negative, 2: positive), f32[batch, 2]
  };
  std::string name;
  std::function<Value(Value predictions, Value labels)> function;
  LabelDomain labels = LabelDomain::kAny;  // fit and evaluate refuse others
  Kind kind = Kind::kMean;
  // Of kMean: what is shown from the mean, as in Loss; null: that mean.
  std::function<double(double mean)> finish = {};
  int label_power = 0;  // as in Loss
};

Metric sparse_categorical_accuracy(std::string name = "accuracy");  // argmax == label
Metric categorical_accuracy(std::string name = "accuracy");         // argmax == argmax of the label
// output > threshold == label > 0.5. A probability's threshold is 0.5.
Metric binary_accuracy(std::string name = "accuracy", double threshold = 0);
// The chance that a positive example scores higher than a negative one; see RankedScores.
// `predictions`: one logit an example. Labels are 0 and 1.
Metric area_under_curve_metric(std::string name = "auc");
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
  // `loss`: the job's, which "accuracy" depends on.
  virtual Metric make(const Loss& loss) const = 0;
};
void register_core_metrics(Catalog<MetricOptions>& catalog);

// The loss and the metrics of the examples seen so far. A figure that does not exist (of no
// examples; an area under a curve of one class) is nothing, not a number.
//
// Means are kept in double, so that the order of batches is what matters, not their number.
class RunningMeans {
 public:
  struct Quantity {
    Metric::Kind kind = Metric::Kind::kMean;
    std::function<double(double mean)> finish = {};
  };
  explicit RunningMeans(size_t means) : RunningMeans(std::vector<Quantity>(means)) {}
  explicit RunningMeans(std::vector<Quantity> quantities);
  void reset();
  // A batch's means, in order, and what StepFunction::rows() has of the other metrics.
  // `examples`: the weight of the means. REQUIRES: one for each.
  void add(std::span<const double> means, int64_t examples, std::span<const Tensor> rows = {});

  size_t size() const { return quantities_.size(); }
  double examples() const { return sums_.back(); }  // that were added, and not reset
  std::optional<double> value(size_t i) const;
  // The same, or older by at most an eighth of the examples, where it takes long to work out.
  std::optional<double> recent_value(size_t i) const;

  // What a checkpoint keeps. restore() returns false when it is of other metrics; throws
  // Error{kDataLoss} when it is none.
  std::vector<double> state() const;
  bool restore(std::span<const double> state);

  // Adds up the examples of all workers. Collective: `add_up` replaces numbers by their sums over
  // the workers. `also`: numbers that are added up on the same occasion.
  void merge_workers(int rank, int workers, const std::function<void(std::span<double>)>& add_up,
                     std::span<double> also = {});

 private:
  std::vector<Quantity> quantities_;
  std::vector<size_t> places_;  // of each, among the means or the scores
  std::vector<double> sums_;    // of the means, weighted; then the weights
  std::vector<RankedScores> scores_;
};

}  // namespace trireme::nn
