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

// The folder of the job's checkpoints.
std::string checkpoint_directory(const job::Job& job);

// In the order in which they are to be called. `servers`: null where the job has none. `rank`: of
// this process among the workers; it changes when a worker is lost. `task`, `folder` and `servers`
// must outlive the callbacks.
std::vector<std::shared_ptr<nn::Callback>> make_callbacks(const Task& task, RunFolder& folder,
                                                          ServerTraining* servers,
                                                          std::function<int()> rank);

}  // namespace trireme
