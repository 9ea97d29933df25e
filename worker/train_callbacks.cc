#include "worker/train_callbacks.h"

#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "proto/job.pb.h"
#include "worker/finish_barrier.h"
#include "worker/job_record.h"
#include "worker/preprocessing.h"
#include "worker/rank_zero.h"
#include "worker/rows_checkpoint.h"
#include "worker/stop_after_epochs.h"
#include "worker/tensorboard_run.h"
#include "worker/worker_metrics.h"

namespace trireme {

namespace fs = std::filesystem;

std::string checkpoint_directory(const job::Job& job) {
  return (fs::path(job.output_dir()) / "checkpoints").string();
}

std::optional<nn::EarlyStoppingOptions> early_stopping_options(const job::Job& job) {
  const job::EarlyStopping& asked = job.early_stopping();
  // Without patience nothing is stopped; the best epoch can be kept all the same.
  if (asked.patience() == 0 && asked.monitor().empty() && !asked.restore_best()) return {};
  const std::string monitor = asked.monitor().empty() ? "val_loss" : asked.monitor();
  return nn::EarlyStoppingOptions{
      .monitor = monitor,
      .patience = asked.patience() == 0 ? std::numeric_limits<int64_t>::max() : asked.patience(),
      .min_delta = asked.min_delta(),
      .higher_is_better = monitor.ends_with("accuracy") || monitor.ends_with("auc"),
      .restore_best_weights = asked.restore_best()};
}

TrainCallbacks make_callbacks(const Task& task, RunFolder& folder, ServerTraining* servers,
                              std::function<int()> rank, WorkerMetrics* metrics) {
  const job::Job& job = task.file.job();
  const bool distributed = task.communicates() || task.uses_servers();
  TrainCallbacks result;
  auto& callbacks = result.all;
  callbacks.push_back(std::make_shared<HoldsRunFolder>(folder, [rank] { return rank() == 0; }));
  // Several workers vote instead, so that all stop after the same step.
  if (task.options.stop != nullptr && !task.strategy) {
    callbacks.push_back(std::make_shared<nn::StopFlag>(task.options.stop));
  }
  auto log = std::make_shared<nn::CsvLog>((fs::path(job.output_dir()) / "log.csv").string(),
                                          [rank] { return rank() == 0; });
  log->show_data_wait();
  callbacks.push_back(std::move(log));
  if (!task.run.empty()) callbacks.push_back(std::make_shared<RunMark>(task.run));
  callbacks.push_back(std::make_shared<JobRecord>(task));
  callbacks.push_back(
      std::make_shared<SavesPreprocessing>([&task] { return task.data.preprocessing; }));
  if (auto asked = early_stopping_options(job)) {
    result.early_stopping = std::make_shared<nn::EarlyStopping>(std::move(*asked));
    callbacks.push_back(result.early_stopping);
  }
  if (const int64_t epochs = task.options.stop_after_epochs; epochs > 0 && epochs < job.epochs()) {
    callbacks.push_back(std::make_shared<StopAfterEpochs>(epochs));
  }
  for (auto& callback : task.file.make_callbacks()) {
    callback->set_writes([rank] { return rank() == 0; });
    if (auto* board = dynamic_cast<nn::TensorBoard*>(callback.get())) {
      board->set_run(tensorboard_run(task, rank));
    }
    callbacks.push_back(std::move(callback));
  }
  // Last, so that it saves what the others remember of this step.
  if (!job.checkpoint().off()) {
    nn::CheckpointCallbackOptions checkpoint{.directory = checkpoint_directory(job),
                                             .every_steps = job.checkpoint().every_steps(),
                                             .keep_last = job.checkpoint().keep()};
    if (result.early_stopping) {
      checkpoint.best = [early_stopping = result.early_stopping] {
        return nn::BestCheckpoint{early_stopping->best().step, early_stopping->restored()};
      };
    }
    checkpoint.saves_on_failure = servers == nullptr;
    checkpoint.before = [&folder, servers](int64_t step) {
      folder.check();
      if (servers != nullptr) servers->saver().save(step);
    };
    checkpoint.after = [servers, metrics](auto kept) {
      if (servers != nullptr) servers->saver().forget(kept);
      if (metrics != nullptr) metrics->note_checkpoint(kept.back().step);
    };
    if (servers != nullptr) {
      callbacks.push_back(
          std::make_shared<RowsMark>([servers] { return servers->saver().saved(); }));
    }
    result.checkpoint = std::make_shared<nn::CheckpointCallback>(std::move(checkpoint));
    std::shared_ptr<nn::Callback> saves = result.checkpoint;
    if (distributed) saves = std::make_shared<RankZero>(std::move(saves), std::move(rank));
    callbacks.push_back(std::move(saves));
  }
  return result;
}

}  // namespace trireme
