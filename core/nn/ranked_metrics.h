// Metrics that follow from the ranks of all examples' scores, of which there is one an example. See
// RankedScores for how exact they are.
#pragma once

#include "core/nn/metrics.h"

namespace trireme::nn {

// area_under_curve_metric() is in metrics.h. The area under precision over recall, where between
// two scores both are as Davis and Goadrich 2006 interpolate them.
Metric area_under_precision_recall(std::string name = "auc");

// The best of one figure at the thresholds where another is at least `least`.
Metric precision_at_recall(double least);
Metric recall_at_precision(double least);  // 0 where no threshold has it
Metric sensitivity_at_specificity(double least);
Metric specificity_at_sensitivity(double least);

void register_ranked_metrics(Catalog<MetricOptions>& catalog);

}  // namespace trireme::nn
