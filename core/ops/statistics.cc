#include "core/ops/statistics.h"

#include <utility>

namespace trireme::ops {

Value any(Value x, Axes axes, bool keep_dims) {
  return cast(max(cast(x, DType::kUInt8), std::move(axes), keep_dims), DType::kBool);
}

Value all(Value x, Axes axes, bool keep_dims) {
  return cast(min(cast(x, DType::kUInt8), std::move(axes), keep_dims), DType::kBool);
}

Value variance(Value x, Axes axes, bool keep_dims) {
  return mean(square(x - mean(x, axes, true)), axes, keep_dims);
}

Value stddev(Value x, Axes axes, bool keep_dims) {
  return sqrt(variance(x, std::move(axes), keep_dims));
}

Value logsumexp(Value x, Axes axes, bool keep_dims) {
  // Subtracting any constant changes nothing but how large the powers are.
  const auto largest_of = [&](bool keep) { return stop_gradient(max(x, axes, keep)); };
  const auto shift_of = [&](Value largest) {
    return select(is_finite(largest), largest, zeros_like(largest));
  };
  const Value largest = largest_of(keep_dims);
  const Value y =
      log(sum(exp(x - shift_of(largest_of(true))), axes, keep_dims)) + shift_of(largest);
  // Hosts make the smallest f32 of e^−∞, whose logarithm is finite.
  return select(is_finite(largest), y, minimum(y, largest));
}

}  // namespace trireme::ops
