#include "core/ops/elementwise_functions.h"

#include <numbers>

#include "core/base/error.h"
#include "core/ops/rules.h"

namespace trireme::ops {

Value clip(Value x, double low, double high) {
  if (!(low <= high)) {
    throw invalid_argument("clip: expected a low bound that is at most the high one; found ", low,
                           " and ", high);
  }
  return minimum(maximum(x, constant_like(x, low)), constant_like(x, high));
}

Value squared_difference(Value a, Value b) { return square(a - b); }

Value log_add_exp(Value a, Value b) { return maximum(a, b) + softplus(negate(abs(a - b))); }

Value exp2(Value x) { return exp(x * constant_like(x, std::numbers::ln2)); }

Value elu(Value x, double alpha) { return elu(x, constant_like(x, alpha)); }

Value celu(Value x, double alpha) {
  if (alpha == 0) throw invalid_argument("celu: expected an alpha other than 0; found 0");
  return alpha == 1 ? elu(x, 1.0)
                    : maximum(x, constant_like(x, 0)) +
                          minimum(constant_like(x, 0),
                                  expm1(x * constant_like(x, 1 / alpha)) * constant_like(x, alpha));
}

Value selu(Value x) { return elu(x, 1.6732632423543772) * constant_like(x, 1.0507009873554805); }

Value leaky_relu(Value x, double slope) { return leaky_relu(x, constant_like(x, slope)); }

Value relu6(Value x) { return minimum(relu(x), constant_like(x, 6)); }

Value hard_sigmoid(Value x) { return relu6(x + constant_like(x, 3)) * constant_like(x, 1.0 / 6); }

Value hard_silu(Value x) { return x * hard_sigmoid(x); }
Value hard_tanh(Value x) { return clip(x, -1, 1); }

Value hard_shrink(Value x, double threshold) {
  return select(greater(abs(x), constant_like(x, threshold)), x, constant_like(x, 0));
}

Value soft_shrink(Value x, double threshold) {
  const Value by = constant_like(x, threshold);
  return relu(x - by) - relu(negate(x) - by);
}

Value tanh_shrink(Value x) { return x - tanh(x); }

Value threshold(Value x, double threshold, double otherwise) {
  return select(greater(x, constant_like(x, threshold)), x, constant_like(x, otherwise));
}

Value log_sigmoid(Value x) { return negate(softplus(negate(x))); }
Value softsign(Value x) { return x / (abs(x) + constant_like(x, 1)); }
Value mish(Value x) { return x * tanh(softplus(x)); }

Value squareplus(Value x, double b) {
  return (x + sqrt(square(x) + constant_like(x, b))) * constant_like(x, 0.5);
}

Value sparse_plus(Value x) {
  const Value near = square(hard_tanh(x) + constant_like(x, 1)) * constant_like(x, 0.25);
  return near + relu(x - constant_like(x, 1));
}

Value sparse_sigmoid(Value x) {
  return (hard_tanh(x) + constant_like(x, 1)) * constant_like(x, 0.5);
}

Value glu(Value x) {
  if (!x.defined()) throw invalid_argument("glu: input 0 is not defined");
  const int rank = x.shape().rank();
  const int64_t size = rank == 0 ? 1 : x.shape().dim(-1);
  if (size < 0 || size % 2 != 0) {
    throw invalid_argument("glu: expected a last axis of a known, even size; found ", x.shape());
  }
  Axes begin(static_cast<size_t>(rank)), sizes(static_cast<size_t>(rank), -1);
  sizes.back() = size / 2;
  const Value linear = slice(x, begin, sizes);
  begin.back() = size / 2;
  return linear * sigmoid(slice(x, begin, sizes));
}

}  // namespace trireme::ops
