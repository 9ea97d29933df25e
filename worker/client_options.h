// How a task reaches the coordinator of its cluster. Private to worker/.
#pragma once

#include "distributed/cluster/cluster_spec.h"
#include "distributed/coordination/coordinator_client.h"

namespace trireme {

ClientOptions client_options_of(const ClusterSpec& spec);

}  // namespace trireme
