// Which strategy a task trains with, and its options: what the job says, for the cluster and the
// devices that are there. Private to worker/.
#pragma once

#include "core/runtime/device_options.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/strategy/strategy.h"
#include "worker/job_file.h"

namespace trireme {

// Throws Error{kInvalidArgument} when strategy and cluster do not fit.
const StrategyDef& resolve_strategy(const JobFile& file, const ClusterSpec& cluster,
                                    const DeviceSet& devices);

// Throws Error{kInvalidArgument} naming the field that is out of range.
StrategyOptions strategy_options(const JobFile& file, const StrategyDef& strategy,
                                 const ClusterSpec& cluster, const DeviceSet& devices);

}  // namespace trireme
