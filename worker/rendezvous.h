// How a task gets what it needs to meet the others: the job's secret and the coordinator.
#pragma once

#include <memory>

#include "distributed/cluster/cluster_spec.h"
#include "distributed/coordination/coordinator.h"
#include "worker/cluster_options.h"

namespace trireme {

// Throws Error{kInvalidArgument} when the cluster has other hosts and no secret, or when the secret
// is none by check_secret(). Under "mpi" one that is missing will be drawn.
void require_secret(const ClusterSpec& spec);

// The same; under "mpi" all tasks get the one that rank 0 draws. Every task calls it before it
// opens its first port.
void settle_secret(ClusterSpec& spec);

// The same, and the coordinator where this task hosts it, else null; under "mpi" `spec` gets its
// address. For tasks that form no group of workers.
std::unique_ptr<Coordinator> open_rendezvous(ClusterSpec& spec, const ClusterOptions& options);

}  // namespace trireme
