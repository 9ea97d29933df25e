// What the job says of its group. Private to worker/.
#pragma once

#include "worker/cluster_runtime.h"

namespace trireme {

namespace job {
class Distributed;
}

// Absent fields have the defaults of ClusterOptions; `incarnation` is this task's.
ClusterOptions cluster_options_of(const job::Distributed& job);

}  // namespace trireme
