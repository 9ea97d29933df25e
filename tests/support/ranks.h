// Ranks of a group in tests: as threads, each with its own endpoint, or as real processes that can
// be killed and stopped.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/collective/communicator.h"
#include "tests/support/process.h"

namespace trireme::testing {

// Runs `rank` in a thread for each of `n` ranks, with a communicator of its own, and returns what
// each ended with. Backends: "local", "memory" (the algorithms over a Transport in memory), those
// of make_endpoint() but MPI's, and the combinations "shm+grpc", where ranks 2k and 2k+1 share a
// host, and "shm+grpc/mixed", where the even and the odd ones do.
using RankFunction = std::function<void(Communicator&)>;
std::vector<std::optional<Error>> run_ranks(int n, const std::string& backend,
                                            const RankFunction& rank,
                                            const CommunicatorOptions& options = {});

// The host id by which the ranks of a backend are told apart, as above; empty: the endpoint's.
std::string host_id_for(const std::string& backend, int rank);
// The name for make_endpoint().
std::string endpoint_for(const std::string& backend);

// `n` processes of the program tests/distributed/collective/rank_program.cc.
class RankProcesses {
 public:
  RankProcesses(const std::string& program, int n, const std::string& backend,
                const std::string& scenario, std::chrono::milliseconds timeout);
  ~RankProcesses();

  Process& operator[](int rank) { return *processes_[static_cast<size_t>(rank)]; }
  // Until all have made some calls together; false when one did not get there.
  bool wait_until_busy();

 private:
  TemporaryDirectory folder_;
  std::vector<std::unique_ptr<Process>> processes_;
};

// What must not grow: this process's threads and open descriptors, and the names in /dev/shm that
// are ours.
struct Leftovers {
  int threads = 0;
  int descriptors = 0;
  std::vector<std::string> shared_memory;
  bool operator==(const Leftovers&) const = default;
};
Leftovers count_leftovers();
std::string to_string(const Leftovers& leftovers);

}  // namespace trireme::testing
