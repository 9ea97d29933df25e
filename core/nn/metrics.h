// Metrics: what is shown beside the loss. The graph computes means over the batch's examples; the
// host adds up the means of an epoch's batches weighted by their examples, and so do workers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"
#include "core/nn/labels.h"

namespace trireme::nn {

struct Metric {
  std::string name;
  // A number for each example, f32[batch], of which the metric is the mean. With `finish`: numbers
  // that are means over the batch, f32[n].
  std::function<Value(Value predictions, Value labels)> function;
  // The metric from the means of those n numbers over all examples, for what is itself no mean.
  std::function<double(std::span<const double> means)> finish = {};
  LabelDomain labels = LabelDomain::kAny;  // fit and evaluate refuse others
};

Metric sparse_categorical_accuracy(std::string name = "accuracy");  // argmax == label
Metric categorical_accuracy(std::string name = "accuracy");         // argmax == argmax of the label
Metric binary_accuracy(std::string name = "accuracy", double threshold = 0);  // logit > 0 == label
// The chance that a positive example scores higher than a negative one. `predictions`: one logit an
// example; those beyond ±16 count as ±16. Exact but for pairs whose logits differ by less than
// 1/256, which count half.
Metric area_under_curve_metric(std::string name = "auc");
Metric mean_absolute_error();
Metric mean_squared_error_metric();

// "accuracy" is the one that belongs to `loss`, as in Keras. Throws Error{kInvalidArgument} listing
// the names.
Metric metric_from_name(std::string_view name, std::string_view loss);

// Means over the examples seen so far. In double, so that the order of batches is what matters, not
// their number.
class RunningMeans {
 public:
  // What is made of `width` means that lie side by side; without `finish` there is one.
  struct Quantity {
    size_t width = 1;
    std::function<double(std::span<const double> means)> finish = {};
  };
  explicit RunningMeans(size_t count) : RunningMeans(std::vector<Quantity>(count)) {}
  explicit RunningMeans(std::vector<Quantity> quantities);
  void reset() { sums_.assign(sums_.size(), 0); }
  // REQUIRES: the values of all quantities, one after another.
  void add(std::span<const double> values, int64_t examples);
  double mean(size_t i) const;  // of quantity i, finished; 0 before the first example
  size_t size() const { return quantities_.size(); }
  // The weighted sums, then the number of examples: what a checkpoint keeps, and what workers add
  // up.
  std::span<double> sums() { return sums_; }

 private:
  std::vector<Quantity> quantities_;
  std::vector<size_t> offsets_;  // of each in sums_
  std::vector<double> sums_;
};

}  // namespace trireme::nn
