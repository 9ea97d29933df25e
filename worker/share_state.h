// Gives the state of the most advanced worker to all others.
#pragma once

#include "core/nn/train_state.h"
#include "distributed/collective/communicator.h"

namespace trireme {

// Every rank calls it; `state` is read on rank `source` and replaced on all others. Numbers travel
// as they are, text too. Throws what Communicator::broadcast throws.
void share_state(Communicator& communicator, int source, nn::StateMap& state);

}  // namespace trireme
