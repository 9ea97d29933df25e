// A Transport over the messages of MPI.
#pragma once

#include <memory>
#include <string>

#include "distributed/cluster/peer.h"
#include "distributed/collective/transport.h"

namespace trireme {

// `communicator` is the MPI_Comm of the group, borrowed; by address, since its type is MPI's.
std::unique_ptr<Transport> make_mpi_transport(const Group& group, const void* communicator);

}  // namespace trireme
