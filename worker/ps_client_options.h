// What a worker's client of the parameter servers gets from its job. Private to worker/.
#pragma once

#include <cstdint>

#include "ps/client/ps_client.h"
#include "worker/task.h"

namespace trireme {

// `incarnation`: how often this task was started again. `saves`: the job has checkpoints.
ps::PsClientOptions ps_client_options(const Task& task, uint64_t incarnation, bool saves);

}  // namespace trireme
