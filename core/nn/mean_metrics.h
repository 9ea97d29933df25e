// Metrics that are means: of losses, and of whether a class is among the first.
#pragma once

#include "core/nn/metrics.h"

namespace trireme::nn {

// How often fewer than `k` outputs are larger than that of the right class.
Metric sparse_top_k_categorical_accuracy(int64_t k = 5);  // labels are class numbers
Metric top_k_categorical_accuracy(int64_t k = 5);         // labels are one-hot
Metric root_mean_squared_error();
Metric cosine_similarity_metric();  // 1 where output and label point the same way
// Of in_batch_softmax: how often fewer than `k` other candidates of the group, those of another
// number, score higher than the right one.
Metric in_batch_top_k_accuracy(int64_t k = 1, int64_t group = 0);

void register_mean_metrics(Catalog<MetricOptions>& catalog);

}  // namespace trireme::nn
