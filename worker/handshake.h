// What all workers of a job must have in common. Private to worker/.
#pragma once

#include <map>
#include <string>

#include "worker/task.h"

namespace trireme {

// By the name that a message has for it: the job, the graph, its collectives, and what is read.
// REQUIRES: the training graph is built.
std::map<std::string, std::string> handshake_of(const Task& task);

// The same once the task has taken the preprocessing of a checkpoint; what is read is not read
// again.
void update_preprocessing(const Task& task, std::map<std::string, std::string>& handshake);

}  // namespace trireme
