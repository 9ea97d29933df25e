// What would end a training only after an epoch and can be found before its first step: a name that
// is not monitored, a label of the validation data, an output folder that takes no checkpoint.
// Private to worker/.
#pragma once

#include "worker/task.h"

namespace trireme {

// REQUIRES: task.model->build_training(). Throws Error saying what is wrong and where; a signal
// ends it early. Writes a file into each output folder and removes it.
void check_before_training(const Task& task);

}  // namespace trireme
