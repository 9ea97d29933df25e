// What a training begins with: the checkpoint that --resume asks for, or, in a task that was
// started again, what its job has saved. Private to worker/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/nn/train_state.h"
#include "worker/task.h"

namespace trireme {

// How often a launcher has started this task again.
uint64_t incarnation();

struct TrainStart {
  std::optional<nn::StateMap> state;  // nothing: the training begins anew
  std::string resumed;                // the checkpoint that --resume found here; empty: none
  std::string checkpoint;             // that the state is of
};

// With --resume: the newest checkpoint; several workers may find it on one host only. A task that
// was started again takes what this job has saved, which counts when no living worker is ahead of
// it. Throws Error{kNotFound} where --resume finds nothing and no other worker may.
TrainStart find_start(const Task& task);

// For --resume when no worker has found a checkpoint.
Error no_checkpoint(const Task& task);

}  // namespace trireme
