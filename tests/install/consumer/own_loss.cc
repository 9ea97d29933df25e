// A loss: own_log_cosh, the logarithm of the hyperbolic cosine of the error, as in Keras.
#include <cmath>

#include "core/nn/losses.h"
#include "core/ops/ops.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

// |x| + log(1 + exp(−2|x|)) − log 2: no exponential of a large number.
Value log_cosh(Value x) {
  const Value size = ops::relu(x) + ops::relu(-x);
  const auto number = [&](double value) { return ops::scalar(x.graph(), x.dtype(), value); };
  return size + ops::log(ops::exp(size * number(-2)) + number(1)) - number(std::log(2));
}

class LogCosh : public nn::LossOptions {
 public:
  nn::Loss make() const override {
    return {.name = "own_log_cosh", .function = [](Value predictions, Value labels) {
              const Value truth = nn::match_labels("own_log_cosh", predictions, labels);
              return nn::mean_per_example(log_cosh(predictions - truth));
            }};
  }
};

}  // namespace

void add_log_cosh(Catalog<nn::LossOptions>& losses) {
  losses.add<LogCosh>("own_log_cosh", "", "The logarithm of the error's hyperbolic cosine.");
}

}  // namespace own
