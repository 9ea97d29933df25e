// What every communicator must do, as one function that each rank runs: in threads of a test, or in
// processes of their own.
#pragma once

#include <string>

#include "distributed/collective/communicator.h"

namespace trireme::testing {

// Each throws Error{kFailed} that says which call gave which wrong element.

// Every dtype, operation and summation at counts 0, 1, 1009 and one that is sent in pieces. Sums
// are compared bit for bit with a reference: along the tree, and in any order where they are exact.
void check_all_reduce(Communicator& communicator);
void check_reduce_scatter(Communicator& communicator);
void check_all_gather(Communicator& communicator);
void check_broadcast(Communicator& communicator);
// No rank leaves a barrier before all have entered it; calls of different kinds in a row.
void check_mixture(Communicator& communicator);
// 64 MiB of f32, in both summations.
void check_large(Communicator& communicator);

}  // namespace trireme::testing
