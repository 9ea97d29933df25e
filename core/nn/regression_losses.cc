#include "core/nn/regression_losses.h"

#include <cmath>

#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

constexpr double kEpsilon = 1e-7;  // Keras's

Value number(Value like, double value) { return ops::scalar(like.graph(), DType::kFloat32, value); }

// The mean over the last axis of a function of the outputs and labels.
Loss mean_of(std::string name, Value (*of)(Value predictions, Value labels), LabelDomain labels,
             int label_power = 0) {
  return {.name = name,
          .function =
              [name, of](Value predictions, Value given) {
                return mean_of_last_axis(of(predictions, match_labels(name, predictions, given)));
              },
          .labels = labels,
          .label_power = label_power};
}

Value absolute_error(Value p, Value y) { return ops::abs(p - y); }

Value percentage_error(Value p, Value y) {
  const Value size = ops::maximum(ops::abs(y), number(y, kEpsilon));
  return ops::abs((y - p) / size) * number(p, 100);
}

Value log_of_one_more(Value x) {
  return ops::log(ops::maximum(x, number(x, kEpsilon)) + number(x, 1));
}

Value squared_logarithmic_error(Value p, Value y) {
  return ops::square(log_of_one_more(p) - log_of_one_more(y));
}

// x + log(1 + e^−2x) − log 2: no exponential of a large number.
Value log_cosh_of_error(Value p, Value y) {
  const Value x = p - y;
  return x + ops::softplus(x * number(x, -2)) - number(x, std::log(2.0));
}

Value poisson_loss(Value p, Value y) { return p - y * ops::log(p + number(p, kEpsilon)); }

// Of length 1 along the last axis.
Value normalized(Value x) {
  const Value squares = ops::sum(ops::square(x), {-1}, true);
  return x * ops::rsqrt(ops::maximum(squares, number(x, kEpsilon * kEpsilon)));
}

}  // namespace

Loss mean_absolute_error_loss() {
  return mean_of("mean_absolute_error", absolute_error, LabelDomain::kFinite, 1);
}
Loss mean_absolute_percentage_error() {
  return mean_of("mean_absolute_percentage_error", percentage_error, LabelDomain::kFinite);
}
Loss mean_squared_logarithmic_error() {
  return mean_of("mean_squared_logarithmic_error", squared_logarithmic_error, LabelDomain::kFinite);
}
Loss log_cosh() { return mean_of("log_cosh", log_cosh_of_error, LabelDomain::kFinite); }
Loss poisson() { return mean_of("poisson", poisson_loss, LabelDomain::kNotNegative); }

Loss huber(double delta) {
  return {.name = "huber",
          .function =
              [delta](Value predictions, Value labels) {
                const Value size =
                    ops::abs(predictions - match_labels("huber", predictions, labels));
                // Up to `delta` this is size²/2, beyond delta·size − delta²/2.
                const Value part = ops::minimum(size, number(size, delta));
                return mean_of_last_axis(part * (size - part * number(size, 0.5)));
              },
          .labels = LabelDomain::kFinite};
}

Loss cosine_similarity() {
  return {.name = "cosine_similarity",
          .function =
              [](Value predictions, Value labels) {
                labels = match_labels("cosine_similarity", predictions, labels);
                return -ops::sum(normalized(predictions) * normalized(labels), {-1});
              },
          .labels = LabelDomain::kFinite};
}

namespace {

class HuberOptions : public LossOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field(
        {.name = "delta", .help = "the error up to which the loss is a square", .range = above(0)},
        delta_);
  }
  Loss make() const override { return huber(delta_); }

 private:
  double delta_ = 1;
};

}  // namespace

void register_regression_losses(Catalog<LossOptions>& catalog) {
  catalog.add<PlainLoss<mean_absolute_error_loss>>("mean_absolute_error", "MeanAbsoluteError",
                                                   "Mean of |output − label|.");
  catalog.add<PlainLoss<mean_absolute_percentage_error>>("mean_absolute_percentage_error",
                                                         "MeanAbsolutePercentageError",
                                                         "Mean of 100·|output − label| / |label|.");
  catalog.add<PlainLoss<mean_squared_logarithmic_error>>(
      "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError",
      "Mean of (log(1 + output) − log(1 + label))².");
  catalog.add<HuberOptions>("huber", "Huber",
                            "Half the square of a small error, the size of a large one.");
  catalog.add<PlainLoss<log_cosh>>("log_cosh", "LogCosh",
                                   "Mean of the logarithm of the error's hyperbolic cosine.");
  catalog.add<PlainLoss<poisson>>("poisson", "Poisson",
                                  "Mean of output − label·log(output), of counts and their rates.");
  catalog.add<PlainLoss<cosine_similarity>>(
      "cosine_similarity", "CosineSimilarity",
      "−1 where output and label, as vectors along the last axis, point the same way.");
}

}  // namespace trireme::nn
