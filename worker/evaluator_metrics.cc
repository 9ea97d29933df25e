#include "worker/evaluator_metrics.h"

#include <cstdio>
#include <utility>

namespace trireme {

EvaluatorMetrics::EvaluatorMetrics(const MetricsAddress& address, const std::string& job_name)
    : labels_{{"job_name", job_name}} {
  server_ = std::make_unique<MetricsServer>(address, [this] { return text() + process_.text(); });
  std::fprintf(stderr, "evaluator: metrics at %s\n", server_->url().c_str());
}

void EvaluatorMetrics::set(int64_t step, std::map<std::string, double> figures) {
  MutexLock lock(mutex_);
  ++evaluations_;
  step_ = step;
  figures_ = std::move(figures);
}

std::string EvaluatorMetrics::text() const {
  MutexLock lock(mutex_);
  MetricText text(labels_);
  text.counter("trireme_evaluator_evaluations_total", "Checkpoints that this process evaluated.",
               static_cast<double>(evaluations_));
  if (step_) {
    text.gauge("trireme_evaluator_step", "Step of the last of them.", static_cast<double>(*step_));
  }
  for (const auto& [name, value] : figures_) {
    text.gauge("trireme_evaluator_figure", "Loss and metrics of the last of them.", value,
               {{"figure", name}});
  }
  return text.str();
}

}  // namespace trireme
