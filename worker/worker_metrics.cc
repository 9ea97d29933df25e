#include "worker/worker_metrics.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "core/base/error.h"

namespace trireme {

class WorkerMetrics::Counter : public nn::Callback {
 public:
  Counter(WorkerMetrics& metrics, Sources sources)
      : metrics_(metrics), sources_(std::move(sources)) {}

  void on_train_begin(nn::Training& training) override {
    note_place(training);
    note_lost_steps();
  }
  void on_epoch_begin(nn::Training& training) override { note_place(training); }
  void on_batch_end(nn::Training& training, nn::Logs logs) override {
    const int64_t rows = sources_.rows(training.step());
    MutexLock lock(metrics_.mutex_);
    Figures& figures = metrics_.figures_;
    ++figures.steps;
    figures.examples += rows;
    figures.step = training.step();
    figures.loss = logs.front().value;
  }
  void on_epoch_end(nn::Training& training, nn::Logs logs) override {
    note_lost_steps();
    MutexLock lock(metrics_.mutex_);
    Figures& figures = metrics_.figures_;
    ++figures.epochs;
    figures.epoch = training.epoch();
    for (const nn::LogValue& log : logs) figures.of_epoch[std::string(log.name)] = log.value;
  }

 private:
  // Also after another worker's state was taken over.
  void note_place(nn::Training& training) {
    MutexLock lock(metrics_.mutex_);
    metrics_.figures_.step = training.step();
    metrics_.figures_.epoch = training.epoch();
  }

  void note_lost_steps() {
    std::optional<int64_t> lost;
    try {
      lost = sources_.lost_steps();
    } catch (const Error&) {
      return;  // a training is not over because a figure of it cannot be had
    }
    if (!lost) return;
    MutexLock lock(metrics_.mutex_);
    metrics_.figures_.lost_steps = lost;
  }

  WorkerMetrics& metrics_;
  const Sources sources_;
};

WorkerMetrics::WorkerMetrics(const MetricsAddress& first, const std::string& job_name,
                             const ClusterSpec& cluster, uint64_t restarts)
    : labels_{{"job_name", job_name}, {"rank", std::to_string(cluster.rank)}}, restarts_(restarts) {
  figures_.members = cluster.world_size;
  server_ = std::make_unique<MetricsServer>(metrics_address(first, cluster),
                                            [this] { return text() + process_.text(); });
  std::fprintf(stderr, "worker %d: metrics at %s\n", cluster.rank, server_->url().c_str());
}

std::shared_ptr<nn::Callback> WorkerMetrics::counter(Sources sources) {
  return std::make_shared<Counter>(*this, std::move(sources));
}

void WorkerMetrics::set_generation(int64_t generation, int members) {
  MutexLock lock(mutex_);
  figures_.generation = generation;
  figures_.members = members;
}

void WorkerMetrics::note_checkpoint(int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  MutexLock lock(mutex_);
  ++figures_.checkpoints;
  figures_.checkpoint_step = step;
  figures_.checkpoint_time = now.count();
}

std::string WorkerMetrics::text() const {
  const Figures figures = [this] {
    MutexLock lock(mutex_);
    return figures_;
  }();
  const auto number = [](auto value) { return static_cast<double>(value); };
  MetricText text(labels_);
  text.counter("trireme_worker_steps_total", "Steps that this process has finished.",
               number(figures.steps));
  text.counter("trireme_worker_examples_total", "Examples of this worker in those steps.",
               number(figures.examples));
  text.counter("trireme_worker_epochs_total", "Epochs that this process has finished.",
               number(figures.epochs));
  if (figures.step) {
    text.gauge("trireme_worker_step", "Steps of the training, those before a resume too.",
               number(*figures.step));
    text.gauge("trireme_worker_epoch", "Finished epochs of the training, likewise.",
               number(*figures.epoch));
  }
  if (figures.loss) {
    text.gauge("trireme_worker_loss", "Loss of the last step.", *figures.loss);
  }
  for (const auto& [name, value] : figures.of_epoch) {
    if (!value) continue;
    text.gauge("trireme_worker_epoch_figure",
               "Loss and metrics of the last epoch that this process finished, as in log.csv.",
               *value, {{"figure", name}});
  }
  const auto seconds = times_->seconds();
  for (size_t i = 0; i < seconds.size(); ++i) {
    text.counter("trireme_worker_time_seconds_total",
                 "Time of the thread that trains, by what it went to.", seconds[i],
                 {{"activity", TimeAccount::kNames[i]}});
  }
  text.gauge("trireme_worker_members", "Workers of the group now.", number(figures.members));
  if (figures.generation) {
    text.gauge("trireme_worker_generation", "Number of the group's generation.",
               number(*figures.generation));
  }
  text.counter("trireme_worker_restarts_total", "How often this task was started again.",
               number(restarts_));
  text.counter("trireme_worker_checkpoints_total", "Checkpoints that this process has written.",
               number(figures.checkpoints));
  if (figures.checkpoint_step) {
    text.gauge("trireme_worker_checkpoint_step", "Step of the last of them.",
               number(*figures.checkpoint_step));
    text.gauge("trireme_worker_checkpoint_timestamp_seconds",
               "When the last of them was written, in seconds since 1970.",
               figures.checkpoint_time);
  }
  if (figures.lost_steps) {
    text.counter("trireme_worker_lost_steps_total",
                 "Steps of the job that were lost with the rows of parameter servers.",
                 number(*figures.lost_steps));
  }
  return text.str();
}

}  // namespace trireme
