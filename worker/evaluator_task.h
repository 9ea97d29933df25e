// The evaluator of a job (TF_CONFIG's task type "evaluator"): evaluates each checkpoint that the
// training writes, in its own process and in no group.
#pragma once

#include <functional>

#include "worker/train_task.h"

namespace trireme {

class JobFile;

// Tells the result of each checkpoint in the output folder, oldest first, as evaluate() does, with
// "step" and "checkpoint"; waits for more until the training is finished: all epochs are done, or
// early stopping has ended it. A checkpoint that is removed meanwhile is passed over. Throws Error,
// kUnavailable when no new checkpoint comes for a day.
TaskResult evaluate_each_checkpoint(const JobFile& file, const TaskOptions& options,
                                    const std::function<void(const TaskResult&)>& tell);

}  // namespace trireme
