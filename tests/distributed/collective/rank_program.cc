// One rank as a process: rank_program FOLDER RANK SIZE BACKEND SCENARIO TIMEOUT_MS. Writes "busy"
// to standard error when all ranks have worked together, then what it ended with: "failed: MESSAGE"
// (exit 75 for a lost or late peer), and "left: …" when it left anything behind. RANK -1: mpirun's.
// SIZE 0: mpirun's.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "distributed/collective/folder_rendezvous.h"
#include "distributed/collective/make_communicator.h"
#include "tests/distributed/collective/conformance.h"
#include "tests/support/ranks.h"

namespace trireme::testing {
namespace {

constexpr int kFaultyRank = 2;

void say(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
}

// Works until somebody fails. Sizes alternate, so that a fault comes in the middle of either way.
void work(Communicator& communicator, bool faulty_leaves) {
  std::vector<float> values(1 << 20);
  for (int round = 0;; ++round) {
    if (round == 10) say("busy");
    if (round == 10 && faulty_leaves && communicator.rank() == kFaultyRank) pause();
    const int64_t count = round % 3 == 0 ? 1 << 20 : 1000;
    communicator.all_reduce({values.data(), count, DType::kFloat32}, ReduceOp::kSum,
                            round % 2 == 0 ? Summation::kAny : Summation::kTree);
  }
}

int run_rank(const std::string& folder, int rank, int size, const std::string& backend,
             const std::string& scenario, std::chrono::milliseconds timeout) {
  const Leftovers before = count_leftovers();
  int code = 0;
  {
    auto endpoint = make_endpoint({.backend = endpoint_for(backend), .secret = folder});
    const Group group = meet_in_folder(folder, rank, size, *endpoint, std::chrono::seconds(30),
                                       host_id_for(backend, rank));
    // A rank that dies before its peers are connected.
    if (scenario == "absent" && rank == kFaultyRank) pause();
    try {
      auto communicator = endpoint->connect(group, {.timeout = timeout});
      if (scenario == "conformance") {
        check_all_reduce(*communicator);
        check_reduce_scatter(*communicator);
        check_all_gather(*communicator);
        check_broadcast(*communicator);
        check_mixture(*communicator);
      } else {
        work(*communicator, scenario == "late");
      }
      communicator->barrier();
    } catch (const Error& error) {
      say(std::string("failed: ") + error.what());
      code = error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded
                 ? 75
                 : 1;
    }
  }
  if (backend != "shm") return code;  // network libraries keep threads for the next connection
  Leftovers after = count_leftovers();
  for (int i = 0;
       i < 100 && (after.threads > before.threads || after.descriptors > before.descriptors); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    after = count_leftovers();
  }
  if (after.threads > before.threads || after.descriptors > before.descriptors) {
    say("left: " + to_string(after) + " after " + to_string(before));
  }
  return code;
}

int from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atoi(value) : -1;
}

}  // namespace
}  // namespace trireme::testing

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  int rank = std::atoi(argv[2]), size = std::atoi(argv[3]);
  if (rank < 0) rank = trireme::testing::from_environment("OMPI_COMM_WORLD_RANK");
  if (size == 0) size = trireme::testing::from_environment("OMPI_COMM_WORLD_SIZE");
  try {
    return trireme::testing::run_rank(argv[1], rank, size, argv[4], argv[5],
                                      std::chrono::milliseconds(std::atoi(argv[6])));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
  }
}
