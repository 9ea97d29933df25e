// The area under the receiver operating characteristic, by ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace trireme {

// The scores of the examples of two classes, of which the area under the curve is made: the chance
// that an example of the positive class has a higher score than one of the negative (Hanley and
// McNeil 1982); two of one score count half. Scores may be any numbers, infinities too.
//
// Exact for up to kExactScores different scores. Beyond, neighbouring scores are put together into
// bins that have at most 2⁻¹⁵ of either class. Examples of one bin count half, and so the area is
// off by at most 2⁻¹⁶; where bins overlap, because they were made of other workers' scores or of
// scores of another range, by a few times that.
//
// Adding is a few nanoseconds, with a sort of what was added every 65,536 examples. One thread.
class RankedScores {
 public:
  static constexpr size_t kExactScores = size_t{1} << 18;

  void add(float score, bool positive);
  void merge(const RankedScores& other);
  void clear();

  int64_t examples() const { return negatives_ + positives_ + not_numbers_; }
  // Nothing when a class has no example, or a score was NaN: then there is no such number.
  std::optional<double> area_under_curve() const;
  // The same, or a value that is older by at most an eighth of the examples: to watch while
  // examples are added.
  std::optional<double> recent_area_under_curve() const;

  // The examples of each score, from the lowest to the highest. Empty when a score was NaN.
  struct Counts {
    int64_t negatives, positives;
  };
  std::vector<Counts> counts() const;

  // Everything, as numbers: adding goes on from it as if it had never been taken.
  std::vector<double> state() const;
  // Throws Error{kDataLoss} when it is no state.
  void restore(std::span<const double> state);

  // Puts scores together until there are about `bins` of them, if there are more.
  void reduce_to(size_t bins);

 private:
  // Examples with scores from low to high, both included.
  struct Bin {
    float low, high;
    int64_t negatives, positives;
  };
  std::vector<Bin> all_bins() const;
  void settle();
  void put_together(double part);

  std::vector<Bin> bins_;  // in increasing order
  std::vector<uint64_t>
      added_;  // since the bins were made: the score's rank among floats, the class
  int64_t negatives_ = 0, positives_ = 0, not_numbers_ = 0;
  mutable std::optional<double> recent_;
  mutable int64_t recent_examples_ = 0;
};

}  // namespace trireme
