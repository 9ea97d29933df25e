// What the evaluator of a job tells on /metrics. docs/metrics.md says what each figure means.
// Written by the thread that evaluates, read by the server's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/thread_annotations.h"
#include "distributed/metrics/metric_text.h"
#include "distributed/metrics/metrics_server.h"
#include "distributed/metrics/process_metrics.h"

namespace trireme {

class EvaluatorMetrics {
 public:
  // Serves at `address` from now on, and tells people where. Throws Error{kInvalidArgument} when it
  // cannot be bound.
  EvaluatorMetrics(const MetricsAddress& address, const std::string& job_name);
  EvaluatorMetrics(const EvaluatorMetrics&) = delete;

  // A checkpoint was evaluated: its step, and loss and metrics.
  void set(int64_t step, std::map<std::string, double> figures) EXCLUDES(mutex_);

  std::string text() const EXCLUDES(mutex_);

 private:
  const MetricLabels labels_;
  mutable Mutex mutex_;
  int64_t evaluations_ GUARDED_BY(mutex_) = 0;
  std::optional<int64_t> step_ GUARDED_BY(mutex_);
  std::map<std::string, double> figures_ GUARDED_BY(mutex_);
  ProcessMetrics process_;  // of the server's thread
  std::unique_ptr<MetricsServer> server_;
};

}  // namespace trireme
