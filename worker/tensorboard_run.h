// What a job tells the callback `tensorboard`. Private to worker/.
#pragma once

#include <functional>

#include "core/nn/tensorboard.h"
#include "worker/task.h"

namespace trireme {

// `rank`: of this process among the workers; it changes when a worker is lost. `task` must outlive
// the result.
nn::TensorBoardRun tensorboard_run(const Task& task, std::function<int()> rank);

// The hyper-parameters of a job, by their paths in it: "batch_size", "optimizer" = "adam",
// "optimizer.learning_rate".
io::HParamValues job_hparams(const JobFile& file);

}  // namespace trireme
