// The loss and the metrics of the examples seen so far.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/base/area_under_curve.h"
#include "core/tensor/tensor.h"

namespace trireme::nn {

// What a figure is made of.
enum class FigureKind {
  kMean,          // the mean over the examples of a number for each
  kSums,          // numbers that are added up over all examples
  kRankedScores,  // a score for each example, and its class
};

// A figure that does not exist (of no examples; an area under a curve of one class; a precision
// where nothing was found) is nothing, not a number.
//
// Means and sums are kept in double, so that the order of batches is what matters, not their
// number.
class RunningMeans {
 public:
  struct Quantity {
    FigureKind kind = FigureKind::kMean;
    // What is shown from the figure; null: the figure.
    std::function<double(double figure)> finish = {};
    // Of kSums: how many numbers, and the figure that they give. Null: they are a table, and no
    // figure.
    size_t sums = 0;
    std::function<std::optional<double>(std::span<const double> sums)> from_sums = {};
    // Of kRankedScores; null: the area under the receiver operating characteristic.
    std::function<std::optional<double>(const RankedScores&)> from_scores = {};

    bool is_table() const { return kind == FigureKind::kSums && !from_sums; }
    size_t numbers() const {  // of a batch, that are added up
      return kind == FigureKind::kMean ? 1 : kind == FigureKind::kSums ? sums : 0;
    }
  };
  explicit RunningMeans(size_t means) : RunningMeans(std::vector<Quantity>(means)) {}
  explicit RunningMeans(std::vector<Quantity> quantities);
  void reset();
  // A batch's means and sums, in order, and what StepFunction::rows() has of the other figures.
  // `examples`: the weight of the means. REQUIRES: one for each.
  void add(std::span<const double> numbers, int64_t examples, std::span<const Tensor> rows = {});

  size_t size() const { return quantities_.size(); }
  double examples() const { return sums_.back(); }  // that were added, and not reset
  std::optional<double> value(size_t i) const;      // nothing for a table
  // The same, or older by at most an eighth of the examples, where it takes long to work out.
  std::optional<double> recent_value(size_t i) const;
  bool is_table(size_t i) const { return quantities_[i].is_table(); }
  std::span<const double> table(size_t i) const;  // REQUIRES: is_table(i)

  // What a checkpoint keeps. restore() returns false when it is of other metrics; throws
  // Error{kDataLoss} when it is none.
  std::vector<double> state() const;
  bool restore(std::span<const double> state);

  // Adds up the examples of all workers. Collective: `add_up` replaces numbers by their sums over
  // the workers. `also`: numbers that are added up on the same occasion.
  void merge_workers(int rank, int workers, const std::function<void(std::span<double>)>& add_up,
                     std::span<double> also = {});

 private:
  std::optional<double> figure(size_t i) const;

  std::vector<Quantity> quantities_;
  std::vector<size_t> places_;  // of each, its first number among the sums, or among the scores
  std::vector<double> sums_;    // of the means, weighted, and of the sums; then the weights
  std::vector<RankedScores> scores_;
};

}  // namespace trireme::nn
