// Metrics that are made of counts of all examples: what was found, and what is there.
//
// Predictions [batch, …, classes], and as labels class numbers [batch, …], or 0 and 1 in the shape
// of the predictions. What was found is the class of the largest output where the loss is of
// classes, one of which is right; else every output above a threshold. A figure of nothing (the
// precision where nothing was found) does not exist; Keras gives 0.
#pragma once

#include "core/nn/metrics.h"

namespace trireme::nn {

enum class MetricAverage : uint8_t {
  kMicro,     // of all classes' counts together
  kMacro,     // the mean of the classes whose figure exists
  kWeighted,  // the same, where a class counts by how often it is there
};

struct CountOptions {
  std::optional<double> threshold = {};  // nothing: the largest output, or 0 for logits, 0.5 else
  MetricAverage average = MetricAverage::kMicro;
  std::optional<int64_t> class_id = {};  // only that class
};
Metric precision(const Loss& loss, const CountOptions& options = {});
Metric recall(const Loss& loss, const CountOptions& options = {});
// (1 + beta²)·precision·recall / (beta²·precision + recall)
Metric f_beta_score(const Loss& loss, double beta, const CountOptions& options = {});
Metric f1_score(const Loss& loss, const CountOptions& options = {.average = MetricAverage::kMacro});
Metric true_positives(const Loss& loss, const CountOptions& options = {});
Metric false_positives(const Loss& loss, const CountOptions& options = {});
Metric true_negatives(const Loss& loss, const CountOptions& options = {});
Metric false_negatives(const Loss& loss, const CountOptions& options = {});

// A table: row r has how often the examples of class r were taken for each class.
Metric confusion_matrix(const Loss& loss, std::optional<double> threshold = {});
// The mean over classes of what was found rightly / what was found or is there; classes of which
// there is neither are left out. `classes`: those that count; empty: all.
Metric mean_iou(const Loss& loss, std::string name = "mean_iou",
                const std::vector<int64_t>& classes = {}, std::optional<double> threshold = {});

// 1 − Σ(label − output)² / Σ(label − mean label)², the mean over the columns of labels.
Metric r2_score(bool by_variance = false);

void register_count_metrics(Catalog<MetricOptions>& catalog);

}  // namespace trireme::nn
