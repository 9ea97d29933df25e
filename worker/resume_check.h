// Whether a training may go on from a checkpoint that another job, or this one with other values,
// has written, and what comes of it. Private to worker/.
#pragma once

#include <string>

#include "core/nn/train_state.h"
#include "worker/task.h"

namespace trireme {

// Says what is not as it was when `checkpoint`, whose state this is, was written, each with its
// effect; takes out of `state` what a changed job must not go on with. Throws
// Error{kInvalidArgument} that lists the differences with which the training cannot go on, and the
// ways out.
void check_resume(const Task& task, const std::string& checkpoint, nn::StateMap& state);

// Says when a schedule ends before the training does, so that the learning rate stays where it is.
void check_schedule(const Task& task);

}  // namespace trireme
