// A communicator over MPI: its messages for reductions, its non-blocking collectives for the rest.
//
// Reductions are the algorithms of TransportCommunicator over MPI's messages (mpi_transport.h): MPI
// promises no order of adding, and Open MPI's own non-blocking all-reduce takes 3 to 6 times as
// long from 1 MiB on. At a deadline the ranks call a roll: who does not answer is named. What is
// given up breaks the MPI session of the process (mpi_session.h).
#pragma once

#include <memory>

#include "distributed/collective/communicator.h"

namespace trireme {

// Meets the other members, which call it too. A member's Peer::rank is its rank in MPI_COMM_WORLD.
// Throws Error{kInvalidArgument} where that cannot be, kUnavailable when MPI has lost a member,
// kDeadlineExceeded naming who has not come.
std::unique_ptr<Communicator> connect_mpi(const Group& group, const CommunicatorOptions& options);

}  // namespace trireme
