// Metrics: (predictions, labels) → a number for each example, f32[batch]. The graph takes the mean
// of the batch; the host adds up the means of an epoch's batches weighted by their examples.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"

namespace trireme::nn {

struct Metric {
  std::string name;
  std::function<Value(Value predictions, Value labels)> function;
};

Metric sparse_categorical_accuracy(std::string name = "accuracy");  // argmax == label
Metric categorical_accuracy(std::string name = "accuracy");         // argmax == argmax of the label
Metric binary_accuracy(std::string name = "accuracy", double threshold = 0);  // logit > 0 == label
Metric mean_absolute_error();
Metric mean_squared_error_metric();

// "accuracy" is the one that belongs to `loss`, as in Keras. Throws Error{kInvalidArgument} listing
// the names.
Metric metric_from_name(std::string_view name, std::string_view loss);

// Means over the examples seen so far. In double, so that the order of batches is what matters, not
// their number.
class RunningMeans {
 public:
  explicit RunningMeans(size_t count) : sums_(count + 1) {}
  void reset() { sums_.assign(sums_.size(), 0); }
  // REQUIRES: one value for each mean.
  void add(std::span<const double> values, int64_t examples);
  double mean(size_t i) const { return sums_.back() == 0 ? 0 : sums_[i] / sums_.back(); }
  size_t size() const { return sums_.size() - 1; }
  // The weighted sums, then the number of examples: what a checkpoint keeps, and what workers add
  // up.
  std::span<double> sums() { return sums_; }

 private:
  std::vector<double> sums_;
};

}  // namespace trireme::nn
