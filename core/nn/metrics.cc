#include "core/nn/metrics.h"

#include "core/base/error.h"
#include "core/nn/losses.h"
#include "core/nn/names.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

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

Metric mean_absolute_error() {
  const std::string name = "mean_absolute_error";
  return {name, [name](Value predictions, Value labels) {
            labels = match_labels(name, predictions, labels);
            return mean_per_example(ops::abs(predictions - labels));
          }};
}

Metric mean_squared_error_metric() {
  const Loss loss = mean_squared_error();
  return {loss.name, loss.function};
}

Metric metric_from_name(std::string_view name, std::string_view loss) {
  static const std::map<std::string, Factory, std::less<>> known = {
      {"accuracy", accuracy_of},
      {"sparse_categorical_accuracy",
       [](std::string_view) { return sparse_categorical_accuracy("sparse_categorical_accuracy"); }},
      {"categorical_accuracy",
       [](std::string_view) { return categorical_accuracy("categorical_accuracy"); }},
      {"binary_accuracy", [](std::string_view) { return binary_accuracy("binary_accuracy"); }},
      {"mean_absolute_error", [](std::string_view) { return mean_absolute_error(); }},
      {"mean_squared_error", [](std::string_view) { return mean_squared_error_metric(); }},
  };
  return find_by_name(known, name, "metric")(loss);
}

void RunningMeans::add(std::span<const double> values, int64_t examples) {
  const auto weight = static_cast<double>(examples);
  for (size_t i = 0; i < values.size(); ++i) sums_[i] += values[i] * weight;
  sums_.back() += weight;
}

}  // namespace trireme::nn
