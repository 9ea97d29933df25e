// A server of a job, to be attacked, until it is killed:
//
//   attacked_server coordinator|ps|collective PORT FOLDER
//
// Says on standard error and in FOLDER/address.PID where it listens, and what is refused. Some
// times a second it writes a file, as a checkpoint would be; it ends when it cannot. PORT 0: any;
// "collective" takes no other. As rank 0 of two it connects one generation after the other, and
// adds.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/coordination/coordinator.h"
#include "ps/protocol/rpc.h"
#include "tests/distributed/attack/attacked_job.h"

namespace trireme::testing {
namespace {

void say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

// For whoever started this.
void tell_address(const std::string& folder, const std::string& address) {
  std::ofstream(folder + "/address." + std::to_string(getpid())) << address << "\n";
  say("listening on " + address);
}

[[noreturn]] void write_checkpoints(const std::string& folder) {
  const std::string path = folder + "/checkpoint." + std::to_string(getpid());
  for (;;) {
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
      std::perror("cannot write a checkpoint");
      _exit(3);
    }
    close(fd);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void serve_coordinator(int port, const std::string& folder) {
  CoordinatorOptions options;
  options.port = port;
  options.secret = kAttackedSecret;
  options.job_id = kAttackedJob;
  options.log = say;
  const Coordinator coordinator(options);
  tell_address(folder, coordinator.address());
  write_checkpoints(folder);
}

void serve_rows(int port, const std::string& folder) {
  const auto server = ps::make_rpc_server(
      {.port = port, .secret = kAttackedSecret, .job_id = kAttackedJob, .shared_memory = false},
      [](ps::Message request, std::unique_ptr<ps::Responder> responder) {
        responder->answer({{std::move(request)}});
      });
  tell_address(folder, server->address());
  write_checkpoints(folder);
}

void serve_collectives(const std::string& folder) {
  const auto endpoint = make_endpoint({.backend = "grpc", .secret = kAttackedSecret});
  tell_address(folder, endpoint->address());
  std::thread(write_checkpoints, folder).detach();
  for (int64_t generation = 1;; ++generation) {
    const auto communicator = endpoint->connect(attacked_group(generation, 0, endpoint->address()),
                                                {.timeout = std::chrono::seconds(60)});
    add_together(*communicator);
  }
}

}  // namespace
}  // namespace trireme::testing

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string kind = argv[1];
  try {
    if (kind == "coordinator") trireme::testing::serve_coordinator(std::stoi(argv[2]), argv[3]);
    if (kind == "ps") trireme::testing::serve_rows(std::stoi(argv[2]), argv[3]);
    if (kind == "collective") trireme::testing::serve_collectives(argv[3]);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}
