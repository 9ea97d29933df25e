// What all workers of a job must have in common. Private to worker/.
#pragma once

#include <map>
#include <string>

#include "worker/task.h"

namespace trireme {

// By the name that a message has for it: the job, the graph, its collectives, and what is read.
// REQUIRES: the training graph is built.
std::map<std::string, std::string> handshake_of(const Task& task);

}  // namespace trireme
