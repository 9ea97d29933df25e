#include "core/nn/losses.h"

#include "core/base/error.h"
#include "core/nn/class_losses.h"
#include "core/nn/regression_losses.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Keeps the logarithm of a probability finite.
constexpr double kSmallestProbability = 1e-7;

void require_classes(std::string_view what, Value predictions) {
  if (predictions.shape().rank() >= 2 && predictions.shape().dim(-1) > 0) return;
  throw invalid_argument(what,
                         ": expected predictions [batch, classes] or [batch, time, classes], ",
                         "found ", predictions.type(), "; end the model with a dense layer");
}

// Of one class the probability is always 1, and the loss 0.
void require_several_classes(std::string_view what, Value predictions) {
  require_classes(what, predictions);
  if (predictions.shape().dim(-1) != 1) return;
  throw invalid_argument(what, ": expected an output for each of two or more classes, found ",
                         predictions.type(),
                         "; give the last layer as many units as there are classes, or use "
                         "binary_cross_entropy with one");
}

Value number(Value like, double value) { return ops::scalar(like.graph(), DType::kFloat32, value); }

// The loss of each element from logits [batch, …, classes]: one row of the kernel each.
Value softmax_cross_entropy_of_rows(Value logits, Value labels) {
  if (logits.shape().rank() == 2) return ops::sparse_softmax_cross_entropy(logits, labels);
  const Value rows = ops::reshape(logits, {-1, logits.shape().dim(-1)});
  const Value loss = ops::sparse_softmax_cross_entropy(rows, ops::reshape(labels, {-1}));
  return ops::reshape_like(loss, labels);
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
  const Shape wanted = predictions.shape().first(predictions.shape().rank() - 1);
  const Shape& found = labels.shape();
  const bool column = found.rank() == wanted.rank() + 1 && found.dim(-1) == 1;
  const bool fits = compatible(column ? found.first(wanted.rank()) : found, wanted);
  if (!is_integer(labels.dtype()) || !fits) {
    throw invalid_argument(what, ": expected a class number for each ",
                           wanted.rank() == 1 ? "example" : "element", ", ",
                           TensorType{DType::kInt64, wanted}, ", found ", labels.type(),
                           "; for one-hot labels use categorical_cross_entropy");
  }
  if (column) labels = ops::squeeze(labels, {-1});
  return labels.dtype() == DType::kUInt8 ? ops::cast(labels, DType::kInt64) : labels;
}

Value mean_per_example(Value x) {
  if (x.shape().rank() == 1) return x;
  ops::Axes axes;
  for (int i = 1; i < x.shape().rank(); ++i) axes.push_back(i);
  return ops::mean(x, axes);
}

Value mean_of_last_axis(Value x) {
  if (x.shape().rank() == 1) return x;
  return x.shape().dim(-1) == 1 ? ops::squeeze(x, {-1}) : ops::mean(x, {-1});
}

Value log_of_probability(Value x) {
  return ops::log(ops::maximum(x, number(x, kSmallestProbability)));
}

Loss sparse_categorical_cross_entropy(bool from_logits) {
  return sparse_categorical_cross_entropy(SparseCategoricalOptions{.from_logits = from_logits});
}

Loss sparse_categorical_cross_entropy(const SparseCategoricalOptions& options) {
  const std::string name = "sparse_categorical_cross_entropy";
  const auto counts = [=](Value labels) {
    Graph& graph = labels.graph();
    const auto ignored = static_cast<double>(*options.ignore_class);
    return ops::not_equal(labels, ops::scalar(graph, labels.dtype(), ignored));
  };
  Loss loss{name,
            [=](Value predictions, Value labels) {
              require_several_classes(name, predictions);
              labels = class_labels(name, predictions, labels);
              Value mask;
              if (options.ignore_class) {
                mask = counts(labels);
                labels = labels * ops::cast(mask, labels.dtype());
              }
              Value loss, others;  // `others`: the mean of all classes' losses
              if (options.from_logits) {
                loss = softmax_cross_entropy_of_rows(predictions, labels);
                if (options.label_smoothing > 0)
                  others = -ops::mean(ops::log_softmax(predictions), {-1});
              } else {
                const Value logs = log_of_probability(predictions);
                loss = -ops::sum(ops::one_hot(labels, predictions.shape().dim(-1)) * logs, {-1});
                if (options.label_smoothing > 0) others = -ops::mean(logs, {-1});
              }
              if (others.defined()) {
                loss = loss * number(loss, 1 - options.label_smoothing) +
                       others * number(loss, options.label_smoothing);
              }
              return mask.defined() ? ops::select(mask, loss, ops::zeros_like(loss)) : loss;
            },
            LabelDomain::kClass, options.from_logits};
  if (options.ignore_class) {
    loss.ignored_class = options.ignore_class;
    loss.mask = [=](Value predictions, Value labels) {
      return counts(class_labels(name, predictions, labels));
    };
  }
  return loss;
}

Loss categorical_cross_entropy(bool from_logits, double label_smoothing) {
  const std::string name = "categorical_cross_entropy";
  return {name,
          [=](Value predictions, Value labels) {
            require_several_classes(name, predictions);
            labels = match_labels(name, predictions, labels);
            if (label_smoothing > 0) {
              const auto classes = static_cast<double>(predictions.shape().dim(-1));
              labels = labels * number(labels, 1 - label_smoothing) +
                       number(labels, label_smoothing / classes);
            }
            const Value logs =
                from_logits ? ops::log_softmax(predictions) : log_of_probability(predictions);
            return -ops::sum(labels * logs, {-1});
          },
          LabelDomain::kDistribution, from_logits};
}

Loss binary_cross_entropy(bool from_logits, double label_smoothing) {
  const std::string name = "binary_cross_entropy";
  return {name,
          [=](Value predictions, Value labels) {
            labels = match_labels(name, predictions, labels);
            if (label_smoothing > 0) {
              labels = labels * number(labels, 1 - label_smoothing) +
                       number(labels, label_smoothing / 2);
            }
            if (from_logits) {
              return mean_of_last_axis(ops::sigmoid_cross_entropy(predictions, labels));
            }
            const Value one = number(predictions, 1);
            return mean_of_last_axis(-(labels * log_of_probability(predictions) +
                                       (one - labels) * log_of_probability(one - predictions)));
          },
          LabelDomain::kUnitInterval, from_logits};
}

Loss mean_squared_error() {
  const std::string name = "mean_squared_error";
  return {name,
          [=](Value predictions, Value labels) {
            labels = match_labels(name, predictions, labels);
            return mean_of_last_axis(ops::square(predictions - labels));
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

void describe_from_logits(OptionVisitor& visitor, bool& from_logits) {
  visitor.field({.name = "from_logits",
                 .help = "predictions are scores, as a last layer without activation gives them; "
                         "false: probabilities, whose logarithm is less exact"},
                from_logits);
}

void describe_label_smoothing(OptionVisitor& visitor, double& label_smoothing) {
  visitor.field({.name = "label_smoothing",
                 .help = "the share of each label that is spread over all classes",
                 .range = from_below(0, 1)},
                label_smoothing);
}

class SparseCategoricalCrossEntropyOptions : public LossOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    describe_from_logits(visitor, options_.from_logits);
    visitor.field({.name = "ignore_class",
                   .help = "examples, or elements of a sequence, with this label do not count",
                   .default_text = "none"},
                  options_.ignore_class);
    describe_label_smoothing(visitor, options_.label_smoothing);
  }
  Loss make() const override { return sparse_categorical_cross_entropy(options_); }

 private:
  SparseCategoricalOptions options_;
};

// Those that take logits or probabilities.
template <Loss (*make_loss)(bool from_logits, double label_smoothing)>
class CrossEntropyOptions : public LossOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    describe_from_logits(visitor, from_logits_);
    describe_label_smoothing(visitor, label_smoothing_);
  }
  Loss make() const override { return make_loss(from_logits_, label_smoothing_); }

 private:
  bool from_logits_ = true;
  double label_smoothing_ = 0;
};

}  // namespace

void register_core_losses(Catalog<LossOptions>& catalog) {
  catalog.add<SparseCategoricalCrossEntropyOptions>(
      "sparse_categorical_cross_entropy", "SparseCategoricalCrossentropy",
      "Softmax cross entropy of an output for each class and a class number.");
  catalog.add<CrossEntropyOptions<binary_cross_entropy>>(
      "binary_cross_entropy", "BinaryCrossentropy",
      "Sigmoid cross entropy of an output and a label from 0 to 1.");
  catalog.add<PlainLoss<mean_squared_error>>("mean_squared_error", "MeanSquaredError",
                                             "Mean of (output − label)².");
  catalog.add<CrossEntropyOptions<categorical_cross_entropy>>(
      "categorical_cross_entropy", "CategoricalCrossentropy",
      "Softmax cross entropy of an output for each class and the probability of each class.");
  register_regression_losses(catalog);
  register_class_losses(catalog);
}

Loss loss_from_name(std::string_view name) {
  Catalog<LossOptions> catalog;
  register_core_losses(catalog);
  return catalog.make(name)->make();
}

}  // namespace trireme::nn
