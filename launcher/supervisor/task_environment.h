// What the tasks of one machine get besides their place in the cluster: an environment without
// other launchers' variables, and their share of the cores.
#pragma once

#include <vector>

#include "distributed/cluster/cluster_spec.h"

namespace trireme {

// `environment` without what says which task of which cluster a process is: TRIREME_* of a cluster,
// and all of torchrun's, Open MPI's, PMI's, PMIx's and Slurm's variables, and TF_CONFIG. Two
// sources can then not disagree in a task.
Environment without_cluster(const Environment& environment);

// The cores that this process may use, in ascending order.
std::vector<int> usable_cores();

// Part `index` of `count` of the cores: adjacent ones, at least one, sizes differ by at most one.
// Empty when there are fewer cores than parts.
std::vector<int> share_of_cores(const std::vector<int>& cores, int index, int count);

}  // namespace trireme
