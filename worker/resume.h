// What a training begins with: the checkpoint that --resume names, or, in a task that was started
// again, what its job has saved. Private to worker/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/nn/train_state.h"
#include "worker/task.h"

namespace trireme {

// Values of TaskOptions::resume beside a step and a path.
inline constexpr const char* kResumeNewest = "newest";
// The newest that this job has saved, else from the beginning.
inline constexpr const char* kResumeAuto = "auto";

// How often a launcher, ours or torchrun, has started this task again.
uint64_t incarnation();

struct TrainStart {
  std::optional<nn::StateMap> state;  // nothing: the training begins anew
  std::string resumed;                // the checkpoint that --resume found here; empty: none
};

// With --resume: the checkpoint that it names; several workers may find it on one host only. A task
// that was started again takes what this launch of the job has saved, if anything, which counts
// when no living worker is ahead of it. REQUIRES: task.run is known. Where several would do, a
// damaged checkpoint is left out with a warning that names it. Throws Error{kNotFound} that lists
// the checkpoints when the one that --resume names is not there and no other worker may have it,
// Error{kDataLoss} when it is damaged.
TrainStart find_start(const Task& task);

// For --resume when no worker has found a checkpoint.
Error no_checkpoint(const Task& task);

}  // namespace trireme
