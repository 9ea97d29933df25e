// Private to this folder: whether two sources describe the same cluster.
#pragma once

#include <string>

#include "distributed/cluster/sources.h"

namespace trireme::cluster {

// What to note about `other` beside the source that won. Throws Error{kInvalidArgument} with both
// sources, their variables and values when they contradict each other about rank or world size.
//
// They may differ where the other one started not this task but what started it: a step of one task
// (an interactive shell), a step of one task a host (each holds a launcher, like torchrun or
// `trireme launch`), or one that holds mpirun's daemons.
std::string check_agreement(const Claim& winner, const Claim& other);

}  // namespace trireme::cluster
