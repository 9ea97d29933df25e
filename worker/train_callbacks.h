// The callbacks of a task's training, as its job asks for them: log, early stopping, checkpoints.
// Private to worker/.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/callbacks.h"
#include "worker/run_folder.h"
#include "worker/server_training.h"
#include "worker/task.h"

namespace trireme {

class WorkerMetrics;

// The folder of the job's checkpoints.
std::string checkpoint_directory(const job::Job& job);

// What the job's early_stopping asks for; nothing: it has none.
std::optional<nn::EarlyStoppingOptions> early_stopping_options(const job::Job& job);

struct TrainCallbacks {
  std::vector<std::shared_ptr<nn::Callback>> all;     // in the order in which they are to be called
  std::shared_ptr<nn::EarlyStopping> early_stopping;  // one of them, or null
  // Likewise; of several workers each has one, and rank 0's saves.
  std::shared_ptr<nn::CheckpointCallback> checkpoint;
};
// `servers`: null where the job has none. `rank`: of this process among the workers; it changes
// when a worker is lost. `metrics`, which may be null, hears of each checkpoint. `task`, `folder`,
// `servers` and `metrics` must outlive the callbacks.
TrainCallbacks make_callbacks(const Task& task, RunFolder& folder, ServerTraining* servers,
                              std::function<int()> rank, WorkerMetrics* metrics);

}  // namespace trireme
