#include "worker/train_callbacks.h"

#include <filesystem>

#include "proto/job.pb.h"
#include "worker/farewell.h"
#include "worker/rank_zero.h"
#include "worker/rows_checkpoint.h"

namespace trireme {

namespace fs = std::filesystem;

std::string checkpoint_directory(const job::Job& job) {
  return (fs::path(job.output_dir()) / "checkpoints").string();
}

std::vector<std::shared_ptr<nn::Callback>> make_callbacks(const Task& task, ServerTraining* servers,
                                                          std::function<int()> rank) {
  const job::Job& job = task.file.job();
  const bool distributed = task.communicates() || task.uses_servers();
  std::vector<std::shared_ptr<nn::Callback>> callbacks;
  // Several workers vote instead, so that all stop after the same step.
  if (task.options.stop != nullptr && !task.strategy) {
    callbacks.push_back(std::make_shared<nn::StopFlag>(task.options.stop));
  }
  callbacks.push_back(std::make_shared<nn::CsvLog>(
      (fs::path(job.output_dir()) / "log.csv").string(), [rank] { return rank() == 0; }));
  if (distributed) callbacks.push_back(std::make_shared<RunMark>(task.cluster.job_id));
  if (job.early_stopping().patience() > 0) {
    const std::string monitor =
        job.early_stopping().monitor().empty() ? "val_loss" : job.early_stopping().monitor();
    callbacks.push_back(std::make_shared<nn::EarlyStopping>(nn::EarlyStoppingOptions{
        .monitor = monitor,
        .patience = job.early_stopping().patience(),
        .min_delta = job.early_stopping().min_delta(),
        .higher_is_better = monitor.ends_with("accuracy") || monitor.ends_with("auc"),
        .restore_best_weights = job.early_stopping().restore_best()}));
  }
  // Last, so that it saves what the others remember of this step.
  if (!job.checkpoint().off()) {
    nn::CheckpointCallbackOptions checkpoint{.directory = checkpoint_directory(job),
                                             .every_steps = job.checkpoint().every_steps(),
                                             .keep_last = job.checkpoint().keep()};
    if (servers != nullptr) {
      checkpoint.before = [servers](int64_t step) { servers->save(step); };
      checkpoint.after = [servers](auto kept) { servers->forget(kept); };
      callbacks.push_back(std::make_shared<RowsMark>([servers] { return servers->saved(); }));
    }
    std::shared_ptr<nn::Callback> saves =
        std::make_shared<nn::CheckpointCallback>(std::move(checkpoint));
    if (distributed) saves = std::make_shared<RankZero>(std::move(saves), std::move(rank));
    callbacks.push_back(std::move(saves));
  }
  return callbacks;
}

}  // namespace trireme
