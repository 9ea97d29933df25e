// The endpoint of the mpi backend: the ranks that mpirun (or srun with PMIx) has started.
//
// The first use in a process initialises MPI, unless the program has done so; it is finalised when
// the process exits in order. All MPI calls of a process come from one thread at a time. MPI cannot
// lose a member: after a call was given up (a deadline, an abort) the process makes no further MPI
// call, every later one throws Error{kUnavailable}, and the job has to be started again.
#pragma once

#include <memory>
#include <string>

#include "distributed/collective/make_communicator.h"

namespace trireme {

// Throws Error{kInvalidArgument} outside of mpirun, and when MPI allows no threads.
std::unique_ptr<CollectiveEndpoint> make_mpi_endpoint(const EndpointOptions& options);

// What rank 0 of MPI_COMM_WORLD passes, on every rank: how tasks under mpirun learn where the
// coordinator is. Throws Error{kInvalidArgument} outside of mpirun.
std::string mpi_broadcast_from_rank0(const std::string& text);

// This process in MPI_COMM_WORLD. Throw as above.
int mpi_world_rank();
int mpi_world_size();

// This process ends with an error: if it has begun MPI, it leaves MPI_Finalize out, which would
// wait for ranks that hang or wait themselves. mpirun then ends them, with this process's exit
// code.
void mpi_end_with_error(const std::string& why) noexcept;

}  // namespace trireme
