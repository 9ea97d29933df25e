#include "core/nn/metrics.h"

#include <algorithm>

#include "core/base/area_under_curve.h"
#include "core/base/error.h"
#include "core/nn/losses.h"
#include "core/nn/names.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Of each class. The logits' range is cut and not that of the probabilities: clicks can be so rare
// that all probabilities lie in a few bins.
constexpr int64_t kAucBins = 1 << 13;
constexpr double kAucMaxLogit = 16;

using Factory = std::function<Metric(std::string_view loss)>;

Metric accuracy_of(std::string_view loss) {
  if (loss == "sparse_categorical_cross_entropy") return sparse_categorical_accuracy();
  if (loss == "categorical_cross_entropy") return categorical_accuracy();
  if (loss == "binary_cross_entropy") return binary_accuracy();
  throw invalid_argument("metric \"accuracy\" has no meaning for the loss \"", loss,
                         "\"; use mean_absolute_error");
}

}  // namespace

Metric sparse_categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = class_labels("accuracy", predictions, labels);
            if (labels.dtype() != DType::kInt64) labels = ops::cast(labels, DType::kInt64);
            return ops::cast(ops::equal(ops::argmax(predictions), labels), DType::kFloat32);
          }};
}

Metric categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            return ops::cast(ops::equal(ops::argmax(predictions), ops::argmax(labels)),
                             DType::kFloat32);
          }};
}

Metric binary_accuracy(std::string name, double threshold) {
  return {name, [threshold](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            Graph& graph = predictions.graph();
            const Value cut = ops::scalar(graph, DType::kFloat32, threshold);
            const Value half = ops::scalar(graph, DType::kFloat32, 0.5);
            const Value hit = ops::equal(ops::cast(ops::greater(predictions, cut), DType::kFloat32),
                                         ops::cast(ops::greater(labels, half), DType::kFloat32));
            return mean_per_example(ops::cast(hit, DType::kFloat32));
          }};
}

Metric area_under_curve_metric(std::string name) {
  Metric metric{.name = std::move(name), .labels = LabelDomain::kZeroOrOne};
  metric.function = [what = metric.name](Value predictions, Value labels) {
    const Shape& shape = predictions.shape();
    if (shape.rank() < 1 || shape.rank() > 2 || (shape.rank() == 2 && shape[1] != 1)) {
      throw invalid_argument(what, ": expected one logit an example, found ", predictions.type());
    }
    Graph& graph = predictions.graph();
    const auto number = [&](double value) { return ops::scalar(graph, DType::kFloat32, value); };
    Value logits = ops::reshape(predictions, {-1});
    labels = ops::reshape(match_labels(what, predictions, labels), {-1});
    // What is not a number falls in the middle: the loss says so, with a better reason than an
    // index out of range.
    logits = ops::select(ops::equal(logits, logits), logits, ops::zeros_like(logits));
    constexpr double kScale = static_cast<double>(kAucBins) / (2 * kAucMaxLogit);
    Value bins = (logits + number(kAucMaxLogit)) * number(kScale);
    bins = ops::minimum(ops::maximum(bins, number(0)), number(kAucBins - 1));
    const Value positive = ops::greater(labels, number(0.5));
    bins = ops::cast(bins, DType::kInt64) +
           ops::cast(positive, DType::kInt64) * ops::scalar(graph, DType::kInt64, kAucBins);
    const Value share = ops::broadcast_like(number(1), logits, /*average=*/true);
    const Value empty = ops::constant(graph, Tensor::zeros(DType::kFloat32, {2 * kAucBins}));
    return ops::scatter_add(bins, share, empty);
  };
  metric.finish = [](std::span<const double> means) {
    return area_under_curve(means.first(kAucBins), means.subspan(kAucBins));
  };
  return metric;
}

Metric mean_absolute_error() {
  const std::string name = "mean_absolute_error";
  return {.name = name,
          .function =
              [name](Value predictions, Value labels) {
                labels = match_labels(name, predictions, labels);
                return mean_per_example(ops::abs(predictions - labels));
              },
          .labels = LabelDomain::kFinite};
}

Metric mean_squared_error_metric() {
  const Loss loss = mean_squared_error();
  return {.name = loss.name, .function = loss.function, .labels = loss.labels};
}

Metric metric_from_name(std::string_view name, std::string_view loss) {
  static const std::map<std::string, Factory, std::less<>> known = {
      {"accuracy", accuracy_of},
      {"sparse_categorical_accuracy",
       [](std::string_view) { return sparse_categorical_accuracy("sparse_categorical_accuracy"); }},
      {"categorical_accuracy",
       [](std::string_view) { return categorical_accuracy("categorical_accuracy"); }},
      {"auc", [](std::string_view) { return area_under_curve_metric(); }},
      {"binary_accuracy", [](std::string_view) { return binary_accuracy("binary_accuracy"); }},
      {"mean_absolute_error", [](std::string_view) { return mean_absolute_error(); }},
      {"mean_squared_error", [](std::string_view) { return mean_squared_error_metric(); }},
  };
  return find_by_name(known, name, "metric")(loss);
}

RunningMeans::RunningMeans(std::vector<Quantity> quantities) : quantities_(std::move(quantities)) {
  size_t width = 0;
  for (const Quantity& quantity : quantities_) {
    offsets_.push_back(width);
    width += quantity.width;
  }
  sums_.resize(width + 1);
  TRIREME_CHECK(
      std::ranges::all_of(quantities_, [](const auto& q) { return q.width == 1 || q.finish; }),
      "a metric of several numbers says what it makes of them");
}

double RunningMeans::mean(size_t i) const {
  const double examples = sums_.back();
  if (examples == 0) return 0;
  const Quantity& quantity = quantities_[i];
  if (!quantity.finish) return sums_[offsets_[i]] / examples;
  // Reused, because progress is shown at each step.
  thread_local std::vector<double> means;
  means.assign(sums_.begin() + static_cast<std::ptrdiff_t>(offsets_[i]),
               sums_.begin() + static_cast<std::ptrdiff_t>(offsets_[i] + quantity.width));
  for (double& mean : means) mean /= examples;
  return quantity.finish(means);
}

void RunningMeans::add(std::span<const double> values, int64_t examples) {
  const auto weight = static_cast<double>(examples);
  for (size_t i = 0; i < values.size(); ++i) sums_[i] += values[i] * weight;
  sums_.back() += weight;
}

}  // namespace trireme::nn
