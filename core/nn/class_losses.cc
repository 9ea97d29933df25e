#include "core/nn/class_losses.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

constexpr double kEpsilon = 1e-7;  // Keras's

Value number(Value like, double value) { return ops::scalar(like.graph(), DType::kFloat32, value); }

Value clipped(Value x, double low, double high) {
  return ops::minimum(ops::maximum(x, number(x, low)), number(x, high));
}

Value hinge_of(std::string_view what, Value predictions, Value labels) {
  labels = match_labels(what, predictions, labels);
  const Value zero = ops::zeros_like(labels);
  const Value sign = ops::select(ops::equal(labels, zero), number(labels, -1), labels);
  return ops::relu(number(predictions, 1) - sign * predictions);
}

Value smoothed(Value labels, double smoothing, double to) {
  if (smoothing == 0) return labels;
  return labels * number(labels, 1 - smoothing) + number(labels, smoothing * to);
}

// (1 − p)^gamma.
Value focal_factor(Value p, double gamma) {
  const Value rest = ops::maximum(number(p, 1) - p, number(p, kEpsilon));
  return gamma == 2 ? ops::square(rest) : ops::power(rest, number(p, gamma));
}

// Sums over all elements of each example.
Value sum_per_example(Value x) {
  ops::Axes axes;
  for (int i = 1; i < x.shape().rank(); ++i) axes.push_back(i);
  return axes.empty() ? x : ops::sum(x, axes);
}

}  // namespace

Loss hinge() {
  return {.name = "hinge",
          .function = [](Value p, Value y) { return mean_of_last_axis(hinge_of("hinge", p, y)); },
          .labels = LabelDomain::kSign};
}

Loss squared_hinge() {
  return {.name = "squared_hinge",
          .function =
              [](Value p, Value y) {
                return mean_of_last_axis(ops::square(hinge_of("squared_hinge", p, y)));
              },
          .labels = LabelDomain::kSign};
}

Loss categorical_hinge() {
  return {.name = "categorical_hinge",
          .function =
              [](Value p, Value y) {
                y = match_labels("categorical_hinge", p, y);
                const Value right = ops::sum(y * p, {-1});
                const Value other = ops::max((number(p, 1) - y) * p, {-1});
                return ops::relu(other - right + number(p, 1));
              },
          .labels = LabelDomain::kDistribution};
}

Loss kl_divergence() {
  return {.name = "kl_divergence",
          .function =
              [](Value p, Value y) {
                y = clipped(match_labels("kl_divergence", p, y), kEpsilon, 1);
                return ops::sum(y * ops::log(y / clipped(p, kEpsilon, 1)), {-1});
              },
          .labels = LabelDomain::kDistribution};
}

Loss binary_focal_cross_entropy(const BinaryFocalOptions& options) {
  const std::string name = "binary_focal_cross_entropy";
  return {.name = name,
          .function =
              [=](Value p, Value y) {
                y = smoothed(match_labels(name, p, y), options.label_smoothing, 0.5);
                const Value one = number(p, 1);
                Value loss;
                if (options.from_logits) {
                  loss = ops::sigmoid_cross_entropy(p, y);
                  p = ops::sigmoid(p);
                } else {
                  loss = -(y * log_of_probability(p) + (one - y) * log_of_probability(one - p));
                }
                const Value right = y * p + (one - y) * (one - p);
                loss = loss * focal_factor(right, options.gamma);
                if (options.apply_class_balancing) {
                  const Value alpha = number(p, options.alpha);
                  loss = loss * (y * alpha + (one - y) * (one - alpha));
                }
                return mean_of_last_axis(loss);
              },
          .labels = LabelDomain::kUnitInterval,
          .takes_logits = options.from_logits};
}

Loss categorical_focal_cross_entropy(const CategoricalFocalOptions& options) {
  const std::string name = "categorical_focal_cross_entropy";
  return {.name = name,
          .function =
              [=](Value p, Value y) {
                y = smoothed(match_labels(name, p, y), options.label_smoothing,
                             1 / static_cast<double>(p.shape().dim(-1)));
                Value logs;
                if (options.from_logits) {
                  logs = ops::log_softmax(p);
                  p = ops::exp(logs);
                } else {
                  p = p / ops::sum(p, {-1}, true);
                  logs = log_of_probability(p);
                }
                const Value loss = -ops::sum(y * logs * focal_factor(p, options.gamma), {-1});
                return loss * number(loss, options.alpha);
              },
          .labels = LabelDomain::kDistribution,
          .takes_logits = options.from_logits};
}

Loss categorical_generalized_cross_entropy(double q) {
  const std::string name = "categorical_generalized_cross_entropy";
  return {.name = name,
          .function =
              [=](Value predictions, Value labels) {
                labels = class_labels(name, predictions, labels);
                const Value chosen = ops::one_hot(labels, predictions.shape().dim(-1));
                const Value p = ops::sum(chosen * predictions, {-1});
                const Value power = ops::power(ops::maximum(p, number(p, kEpsilon)), number(p, q));
                return (number(p, 1) - power) * number(p, 1 / q);
              },
          .labels = LabelDomain::kClass};
}

Loss dice() {
  return {.name = "dice",
          .function =
              [](Value p, Value y) {
                y = match_labels("dice", p, y);
                const Value both = sum_per_example(p * y);
                const Value all = sum_per_example(y) + sum_per_example(p);
                return number(p, 1) - both * number(p, 2) / (all + number(p, kEpsilon));
              },
          .labels = LabelDomain::kUnitInterval};
}

Loss tversky(double alpha, double beta) {
  return {.name = "tversky",
          .function =
              [=](Value p, Value y) {
                y = match_labels("tversky", p, y);
                const Value one = number(p, 1);
                const Value both = sum_per_example(p * y);
                const Value missed = sum_per_example((one - p) * y);
                const Value wrong = sum_per_example(p * (one - y));
                return one - both / (both + missed * number(p, alpha) + wrong * number(p, beta) +
                                     number(p, kEpsilon));
              },
          .labels = LabelDomain::kUnitInterval};
}

InBatchScores in_batch_scores(std::string_view what, Value predictions, Value labels,
                              int64_t group) {
  const Shape& shape = predictions.shape();
  if (shape.rank() != 2 || shape[1] < 2 || shape[1] % 2 != 0) {
    throw invalid_argument(
        what,
        ": expected predictions [batch, 2·width], the query's vector and then the candidate's, "
        "found ",
        predictions.type(), "; end the model with `concat` of the two towers");
  }
  const bool column = labels.shape().rank() == 2 && labels.shape()[1] == 1;
  if (!is_integer(labels.dtype()) || (labels.shape().rank() != 1 && !column)) {
    throw invalid_argument(what,
                           ": expected the number of the right candidate for each example, i64[?], "
                           "found ",
                           labels.type());
  }
  if (column) labels = ops::squeeze(labels, {1});
  if (labels.dtype() != DType::kInt64) labels = ops::cast(labels, DType::kInt64);
  const int64_t width = shape[1] / 2;
  Value queries = ops::slice(predictions, {0, 0}, {-1, width});
  Value candidates = ops::slice(predictions, {0, width}, {-1, width});
  if (group > 0) {
    queries = ops::reshape(queries, {-1, group, width});
    candidates = ops::reshape(candidates, {-1, group, width});
    labels = ops::reshape(labels, {-1, group});
  }
  const Value all = ops::matmul(queries, candidates, false, true);
  const Value same = ops::equal(ops::expand_dims(labels, {-1}), ops::expand_dims(labels, {-2}));
  return {ops::select(same, number(all, -1e30), all), ops::sum(queries * candidates, {-1})};
}

Loss in_batch_softmax(const InBatchSoftmaxOptions& options) {
  const std::string name = "in_batch_softmax";
  return {.name = name,
          .function =
              [=](Value predictions, Value labels) {
                const InBatchScores scores =
                    in_batch_scores(name, predictions, labels, options.group);
                const Value scale = number(predictions, 1 / options.temperature);
                const Value others = scores.others * scale, right = scores.right * scale;
                // Finite also where there is no negative.
                const Value most = ops::stop_gradient(
                    ops::maximum(ops::max(others, {-1}), number(predictions, -1e20)));
                const Value sum = ops::sum(ops::exp(others - ops::expand_dims(most, {-1})), {-1});
                const Value negatives = ops::log(ops::maximum(sum, number(sum, 1e-30))) + most;
                // −log(e^right / (e^right + Σ e^negative))
                return ops::reshape(ops::softplus(negatives - right), {-1});
              },
          .labels = LabelDomain::kAny,
          .takes_logits = true};
}

namespace {

constexpr std::string_view kFromLogitsHelp =
    "predictions are scores, as a last layer without activation gives them; false: probabilities, "
    "whose logarithm is less exact";
constexpr std::string_view kSmoothingHelp =
    "the share of each label that is spread over all classes";

class BinaryFocalLoss : public LossOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "from_logits", .help = kFromLogitsHelp}, options_.from_logits);
    v.field({.name = "gamma",
             .help = "the power of 1 − the probability of the right class",
             .range = at_least(0)},
            options_.gamma);
    v.field({.name = "apply_class_balancing", .help = "weights the classes by `alpha`"},
            options_.apply_class_balancing);
    v.field(
        {.name = "alpha",
         .help = "with apply_class_balancing, the weight of class 1; that of class 0 is 1 − alpha",
         .range = from_to(0, 1)},
        options_.alpha);
    v.field({.name = "label_smoothing", .help = kSmoothingHelp, .range = from_below(0, 1)},
            options_.label_smoothing);
  }
  Loss make() const override { return binary_focal_cross_entropy(options_); }

 private:
  BinaryFocalOptions options_;
};

class CategoricalFocalLoss : public LossOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "from_logits", .help = kFromLogitsHelp}, options_.from_logits);
    v.field({.name = "gamma",
             .help = "the power of 1 − the probability of a class",
             .range = at_least(0)},
            options_.gamma);
    v.field({.name = "alpha", .help = "a factor of the loss", .range = at_least(0)},
            options_.alpha);
    v.field({.name = "label_smoothing", .help = kSmoothingHelp, .range = from_below(0, 1)},
            options_.label_smoothing);
  }
  Loss make() const override { return categorical_focal_cross_entropy(options_); }

 private:
  CategoricalFocalOptions options_;
};

class GeneralizedCrossEntropyLoss : public LossOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "q",
             .help = "near 0: like cross entropy; near 1: wrong labels count little",
             .range = between(0, 1)},
            q_);
  }
  Loss make() const override { return categorical_generalized_cross_entropy(q_); }

 private:
  double q_ = 0.5;
};

class TverskyLoss : public LossOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "alpha", .help = "the weight of what was missed", .range = at_least(0)},
            alpha_);
    v.field({.name = "beta", .help = "the weight of what was found wrongly", .range = at_least(0)},
            beta_);
  }
  Loss make() const override { return tversky(alpha_, beta_); }

 private:
  double alpha_ = 0.5, beta_ = 0.5;
};

class InBatchSoftmaxLoss : public LossOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "temperature", .help = "scores are divided by it", .range = above(0)},
            options_.temperature);
    v.field(
        {.name = "group",
         .help = "negatives come from so many examples that follow each other; 0: from all that "
                 "a worker has of the batch",
         .range = at_least(0)},
        options_.group);
  }
  void check() const override {
    if (options_.group == 1)
      throw invalid_argument("in_batch_softmax: a group of 1 has no negatives");
  }
  Loss make() const override { return in_batch_softmax(options_); }

 private:
  InBatchSoftmaxOptions options_;
};

}  // namespace

void register_class_losses(Catalog<LossOptions>& catalog) {
  catalog.add<BinaryFocalLoss>(
      "binary_focal_cross_entropy", "BinaryFocalCrossentropy",
      "Sigmoid cross entropy in which what is right already counts little.");
  catalog.add<CategoricalFocalLoss>(
      "categorical_focal_cross_entropy", "CategoricalFocalCrossentropy",
      "Softmax cross entropy in which what is right already counts little.");
  catalog.add<GeneralizedCrossEntropyLoss>(
      "categorical_generalized_cross_entropy", "CategoricalGeneralizedCrossEntropy",
      "(1 − p^q) / q of the probability p of the class whose number is the label.");
  catalog.add<PlainLoss<kl_divergence>>("kl_divergence", "KLDivergence",
                                        "Sum of label·log(label / output) over the classes.");
  catalog.add<PlainLoss<hinge>>(
      "hinge", "Hinge", "Mean of max(0, 1 − label·output), for the labels −1 (or 0) and 1.");
  catalog.add<PlainLoss<squared_hinge>>("squared_hinge", "SquaredHinge",
                                        "Mean of max(0, 1 − label·output)².");
  catalog.add<PlainLoss<categorical_hinge>>(
      "categorical_hinge", "CategoricalHinge",
      "max(0, 1 + the largest output of another class − that of the label's), for one-hot labels.");
  catalog.add<PlainLoss<dice>>(
      "dice", "Dice", "1 − twice what outputs and labels share / all of both, for each example.");
  catalog.add<TverskyLoss>("tversky", "Tversky",
                           "As dice, with weights of what was missed and what was found wrongly.");
  catalog.add<InBatchSoftmaxLoss>("in_batch_softmax", "",
                                  "Cross entropy of finding an example's candidate among those of "
                                  "the batch, from a query's and "
                                  "a candidate's vector side by side.");
}

}  // namespace trireme::nn
