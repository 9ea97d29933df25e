#include "core/nn/losses.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Keeps the logarithm of a probability finite.
constexpr double kSmallestProbability = 1e-7;

Value clipped_log(Value probability) {
  const Value floor = ops::scalar(probability.graph(), DType::kFloat32, kSmallestProbability);
  return ops::log(ops::maximum(probability, floor));
}

void require_classes(std::string_view what, Value predictions) {
  if (predictions.shape().rank() == 2) return;
  throw invalid_argument(what, ": expected predictions [batch, classes], found ",
                         predictions.type(), "; end the model with a dense layer");
}

// Of one class the probability is always 1, and the loss 0.
void require_several_classes(std::string_view what, Value predictions) {
  require_classes(what, predictions);
  if (predictions.shape()[1] != 1) return;
  throw invalid_argument(what, ": expected an output for each of two or more classes, found ",
                         predictions.type(),
                         "; give the last layer as many units as there are classes, or use "
                         "binary_cross_entropy with one");
}

int64_t known_elements(const Shape& shape) {
  int64_t n = 1;
  for (int i = 1; i < shape.rank(); ++i) n *= shape[i];
  return n;
}

}  // namespace

Value match_labels(std::string_view what, Value predictions, Value labels) {
  const Shape& wanted = predictions.shape();
  const Shape& found = labels.shape();
  if (wanted.rank() < 1 || found.rank() < 1 || known_elements(wanted) != known_elements(found)) {
    const bool known = found.rank() >= 1 && known_elements(found) > 0;
    throw invalid_argument(what, ": expected labels like the predictions ", predictions.type(),
                           ", found ", labels.type(),
                           known ? str_cat("; end the model with as many units as an example has "
                                           "labels, which is ",
                                           known_elements(found))
                                 : "");
  }
  if (labels.dtype() != DType::kFloat32) labels = ops::cast(labels, DType::kFloat32);
  return wanted.rank() == found.rank() ? labels : ops::reshape_like(labels, predictions);
}

Value class_labels(std::string_view what, Value predictions, Value labels) {
  require_classes(what, predictions);
  const bool flat = labels.shape().rank() == 1;
  const bool column = labels.shape().rank() == 2 && labels.shape()[1] == 1;
  if (!is_integer(labels.dtype()) || (!flat && !column)) {
    throw invalid_argument(what, ": expected a class number for each example, i64[?], found ",
                           labels.type(), "; for one-hot labels use categorical_cross_entropy");
  }
  if (column) labels = ops::squeeze(labels, {1});
  return labels.dtype() == DType::kUInt8 ? ops::cast(labels, DType::kInt64) : labels;
}

Value mean_per_example(Value x) {
  if (x.shape().rank() == 1) return x;
  ops::Axes axes;
  for (int i = 1; i < x.shape().rank(); ++i) axes.push_back(i);
  return ops::mean(x, axes);
}

Loss sparse_categorical_cross_entropy(bool from_logits) {
  const std::string name = "sparse_categorical_cross_entropy";
  return {name,
          [=](Value predictions, Value labels) {
            require_several_classes(name, predictions);
            labels = class_labels(name, predictions, labels);
            if (from_logits) return ops::sparse_softmax_cross_entropy(predictions, labels);
            const Value chosen = ops::one_hot(labels, predictions.shape()[1]);
            return -ops::sum(chosen * clipped_log(predictions), {1});
          },
          LabelDomain::kClass, from_logits};
}

Loss categorical_cross_entropy(bool from_logits) {
  const std::string name = "categorical_cross_entropy";
  return {name,
          [=](Value predictions, Value labels) {
            require_several_classes(name, predictions);
            labels = match_labels(name, predictions, labels);
            const Value logs =
                from_logits ? ops::log_softmax(predictions) : clipped_log(predictions);
            return -ops::sum(labels * logs, {1});
          },
          LabelDomain::kDistribution, from_logits};
}

Loss binary_cross_entropy(bool from_logits) {
  const std::string name = "binary_cross_entropy";
  return {name,
          [=](Value predictions, Value labels) {
            labels = match_labels(name, predictions, labels);
            if (from_logits) {
              return mean_per_example(ops::sigmoid_cross_entropy(predictions, labels));
            }
            const Value one = ops::scalar(predictions.graph(), DType::kFloat32, 1);
            return mean_per_example(-(labels * clipped_log(predictions) +
                                      (one - labels) * clipped_log(one - predictions)));
          },
          LabelDomain::kUnitInterval, from_logits};
}

Loss mean_squared_error() {
  const std::string name = "mean_squared_error";
  return {name,
          [=](Value predictions, Value labels) {
            labels = match_labels(name, predictions, labels);
            return mean_per_example(ops::square(predictions - labels));
          },
          LabelDomain::kFinite,
          /*takes_logits=*/false,
          /*label_power=*/2};
}

Loss in_label_units(Loss loss, std::shared_ptr<const double> unit) {
  loss.finish = in_label_units(std::move(loss.finish), loss.label_power, std::move(unit));
  return loss;
}

std::function<double(double)> in_label_units(std::function<double(double)> finish, int power,
                                             std::shared_ptr<const double> unit) {
  if (power == 0) return finish;
  return [finish = std::move(finish), power, unit = std::move(unit)](double mean) {
    for (int i = 0; i < power; ++i) mean *= *unit;
    return finish ? finish(mean) : mean;
  };
}

namespace {

// Those that take logits or probabilities.
template <Loss (*make_loss)(bool from_logits)>
class CrossEntropyOptions : public LossOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "from_logits",
                   .help = "predictions are scores, as a last layer without activation gives "
                           "them; false: probabilities, whose logarithm is less exact"},
                  from_logits_);
  }
  Loss make() const override { return make_loss(from_logits_); }

 private:
  bool from_logits_ = true;
};

class MeanSquaredErrorOptions : public LossOptions {
 public:
  Loss make() const override { return mean_squared_error(); }
};

}  // namespace

void register_core_losses(Catalog<LossOptions>& catalog) {
  catalog.add<CrossEntropyOptions<sparse_categorical_cross_entropy>>(
      "sparse_categorical_cross_entropy", "SparseCategoricalCrossentropy",
      "Softmax cross entropy of an output for each class and a class number.");
  catalog.add<CrossEntropyOptions<binary_cross_entropy>>(
      "binary_cross_entropy", "BinaryCrossentropy",
      "Sigmoid cross entropy of an output and a label from 0 to 1.");
  catalog.add<MeanSquaredErrorOptions>("mean_squared_error", "MeanSquaredError",
                                       "Mean of (output − label)².");
  catalog.add<CrossEntropyOptions<categorical_cross_entropy>>(
      "categorical_cross_entropy", "CategoricalCrossentropy",
      "Softmax cross entropy of an output for each class and the probability of each class.");
}

Loss loss_from_name(std::string_view name) {
  Catalog<LossOptions> catalog;
  register_core_losses(catalog);
  return catalog.make(name)->make();
}

}  // namespace trireme::nn
