// `trireme bench allreduce`: the time of an all-reduce of float32 tensors among real processes.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "distributed/connection/tls_settings.h"

namespace trireme {

struct AllreduceBenchOptions {
  int workers = 2;
  // One of allreduce_bench_backends().
  std::string backend = "auto";
  bool tree = false;        // Summation::kTree
  int64_t bytes = 0;        // only this size; 0: all
  TlsSettings tls;          // of grpc, between the processes that the bench starts
  bool in_cluster = false;  // this process is one worker; it finds the others in its environment
  // Given to the processes that the bench starts.
  int rank = -1;       // -1: the parent; -2: mpirun's
  std::string folder;  // where the ranks meet
};

// The backends of make_communicator.h, "local" (threads of one process), and "mpi-native":
// MPI_Allreduce itself, for comparison.
std::vector<std::string> allreduce_bench_backends();

// From 4 bytes to 64 MiB, in steps of 8: the result is checked, then the time taken; one JSON line
// a size: peer, backend, workers, bytes, us (median), busbw_gb_s (bytes / time * 2(n-1)/n). Starts
// a process for each worker; through mpirun where MPI is used. In a cluster it starts none: each
// worker calls it, and rank 0 writes.
void bench_allreduce(const AllreduceBenchOptions& options, std::ostream& out);

}  // namespace trireme
