// Bringing numbers to mean 0 and variance 1, in 64-bit floats: a column of timestamps keeps the
// seconds in which they differ.
#pragma once

#include <cstdint>
#include <span>

namespace trireme::data {

// The mean is `center` + `offset`: the first value and the mean distance from it, which together
// say it more exactly than one number could.
struct Standardization {
  double center = 0, offset = 0;
  double deviation = 1;      // the root of the mean squared distance from the mean
  bool is_constant = false;  // all values were the same; the deviation is then 1

  double mean() const { return center + offset; }
  double apply(double value) const { return ((value - center) - offset) / deviation; }
  double undo(double value) const { return (value * deviation + offset) + center; }
  bool operator==(const Standardization&) const = default;
};

// Of values[0], values[stride], …, `count` of them; those that are NaN are left out. Throws
// Error{kInvalidArgument} when there is none, and when their distances are more than a 64-bit float
// holds.
Standardization standardization(const double* values, int64_t count, int64_t stride = 1);

}  // namespace trireme::data
