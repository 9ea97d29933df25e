// What a worker tells on /metrics: how far it is, how fast, and where its time goes.
// docs/metrics.md says what each figure means. Counters count what this process did: they begin at
// 0 when a task is started again, as Prometheus expects.
//
// Made before the training, so that its figures are there from the start; written by the thread
// that trains, read by the server's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/thread_annotations.h"
#include "core/nn/callbacks.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/metrics/metric_text.h"
#include "distributed/metrics/metrics_server.h"
#include "distributed/metrics/process_metrics.h"
#include "worker/time_account.h"

namespace trireme {

class WorkerMetrics {
 public:
  // Serves from now on where metrics_address() says, and tells people where. `restarts`: of this
  // task, so far. Throws Error{kInvalidArgument} when the address cannot be bound.
  WorkerMetrics(const MetricsAddress& first, const std::string& job_name,
                const ClusterSpec& cluster, uint64_t restarts);
  WorkerMetrics(const WorkerMetrics&) = delete;

  // To observe the thread that trains with.
  std::shared_ptr<ActivityObserver> times() const { return times_; }
  struct Sources {
    // How many examples this worker has in the batch of that step, from 1.
    std::function<int64_t(int64_t step)> rows;
    // How many steps the job has lost so far; asked at the end of epochs. Nothing: another task
    // tells it.
    std::function<std::optional<int64_t>()> lost_steps;
  };
  // Counts steps, epochs and their figures. It must not outlive this object.
  std::shared_ptr<nn::Callback> counter(Sources sources);
  // A generation of `members` workers has formed.
  void set_generation(int64_t generation, int members) EXCLUDES(mutex_);
  void note_checkpoint(int64_t step) EXCLUDES(mutex_);  // was written by this process just now

  std::string text() const EXCLUDES(mutex_);

 private:
  class Counter;
  struct Figures {
    int64_t steps = 0, examples = 0, epochs = 0, checkpoints = 0;
    std::optional<int64_t> step, epoch;  // of the training
    std::optional<double> loss;          // of the last step
    std::map<std::string, std::optional<double>> of_epoch;
    std::optional<int64_t> generation, lost_steps, checkpoint_step;
    double checkpoint_time = 0;
    int members = 1;
  };

  const MetricLabels labels_;
  const uint64_t restarts_;
  const std::shared_ptr<TimeAccount> times_ = std::make_shared<TimeAccount>();
  mutable Mutex mutex_;
  Figures figures_ GUARDED_BY(mutex_);
  ProcessMetrics process_;  // of the server's thread
  std::unique_ptr<MetricsServer> server_;
};

}  // namespace trireme
