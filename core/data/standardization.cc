#include "core/data/standardization.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace trireme::data {

// Three passes. Distances from the first value are exact where values are close together; they are
// multiplied by a power of 2, which loses nothing, so that their squares neither overflow nor
// vanish.
Standardization standardization(const double* values, int64_t count, int64_t stride) {
  const auto each = [&](auto visit) {
    for (int64_t i = 0; i < count; ++i) {
      if (const double value = values[i * stride]; !std::isnan(value)) visit(value);
    }
  };
  Standardization result;
  int64_t n = 0;
  double largest = 0;
  each([&](double value) {
    if (n++ == 0) result.center = value;
    largest = std::max(largest, std::abs(value - result.center));
  });
  if (n == 0) throw invalid_argument("there is no value");
  if (largest == 0) {
    result.is_constant = true;
    return result;
  }
  if (!std::isfinite(largest)) {
    throw invalid_argument("the values are further apart than a 64-bit float can hold");
  }
  const int exponent = std::ilogb(largest);
  const auto distance = [&](double value) { return std::ldexp(value - result.center, -exponent); };
  double sum = 0;
  each([&](double value) { sum += distance(value); });
  const auto size = static_cast<double>(n);
  double mean = sum / size;
  double squares = 0, rest = 0;  // `rest` would be 0 if the mean were exact
  each([&](double value) {
    const double d = distance(value) - mean;
    squares += d * d;
    rest += d;
  });
  mean += rest / size;
  const double variance = std::max(0.0, (squares - rest * rest / size) / size);
  result.offset = std::ldexp(mean, exponent);
  result.deviation = std::max(std::ldexp(std::sqrt(variance), exponent),
                              std::numeric_limits<double>::denorm_min());
  return result;
}

}  // namespace trireme::data
