#include "tests/support/ranks.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "distributed/collective/make_communicator.h"
#include "distributed/collective/transport_communicator.h"
#include "tests/support/memory_transport.h"

namespace trireme::testing {
namespace {

namespace fs = std::filesystem;

// One rank, from its endpoint to its end.
void run_endpoint_rank(const std::string& backend, CollectiveEndpoint& endpoint, const Group& group,
                       const CommunicatorOptions& options, const RankFunction& rank) {
  auto communicator = endpoint.connect(group, options);
  TRIREME_CHECK(communicator->rank() == group.rank && !communicator->description().empty(),
                backend);
  rank(*communicator);
}

int entries(const char* folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

std::string endpoint_for(const std::string& backend) {
  return backend.substr(0, backend.find('/'));
}

std::string host_id_for(const std::string& backend, int rank) {
  if (backend.find('+') == std::string::npos) return "";
  return str_cat("host-", backend.ends_with("/mixed") ? rank % 2 : rank / 2);
}

std::vector<std::optional<Error>> run_ranks(int n, const std::string& backend,
                                            const RankFunction& rank,
                                            const CommunicatorOptions& options) {
  static std::atomic<int> groups{0};
  Group group;
  group.generation = 1;
  group.job_id = str_cat("test-", getpid(), "-", groups.fetch_add(1));
  group.secret = "secret";
  std::vector<std::unique_ptr<CollectiveEndpoint>> endpoints;
  std::vector<std::unique_ptr<Communicator>> made;
  const bool with_endpoints = backend != "local" && backend != "memory";
  for (int r = 0; r < n; ++r) {
    Peer peer{.rank = r, .host = "test", .host_id = "", .pid = getpid(), .address = ""};
    if (with_endpoints) {
      endpoints.push_back(
          make_endpoint({.backend = endpoint_for(backend), .secret = group.secret}));
      const std::string host_id = host_id_for(backend, r);
      peer.host_id = host_id.empty() ? endpoints.back()->host_id() : host_id;
      peer.address = endpoints.back()->address();
    }
    group.peers.push_back(peer);
  }
  if (backend == "local") made = make_local_group(n, options);
  if (backend == "memory") {
    auto transports = make_memory_transports(n);
    for (int r = 0; r < n; ++r) {
      group.rank = r;
      made.push_back(std::make_unique<TransportCommunicator>(
          group, options, std::move(transports[static_cast<size_t>(r)])));
    }
  }
  std::vector<std::optional<Error>> errors(static_cast<size_t>(n));
  {
    std::vector<std::jthread> threads;
    for (int r = 0; r < n; ++r) {
      threads.emplace_back([&, r, mine = group]() mutable {
        const auto index = static_cast<size_t>(r);
        mine.rank = r;
        try {
          if (with_endpoints) {
            run_endpoint_rank(backend, *endpoints[index], mine, options, rank);
          } else {
            rank(*made[index]);
            made[index].reset();
          }
        } catch (const Error& error) {
          errors[index] = error;
          if (!with_endpoints) made[index].reset();
        }
      });
    }
  }
  return errors;
}

RankProcesses::RankProcesses(const std::string& program, int n, const std::string& backend,
                             const std::string& scenario, std::chrono::milliseconds timeout) {
  for (int r = 0; r < n; ++r) {
    processes_.push_back(std::make_unique<Process>(
        std::vector<std::string>{program, folder_.path(), std::to_string(r), std::to_string(n),
                                 backend, scenario, std::to_string(timeout.count())}));
  }
}

RankProcesses::~RankProcesses() = default;

bool RankProcesses::wait_until_busy() {
  return std::ranges::all_of(processes_, [](auto& process) {
    return process->wait_for_error_output("busy", std::chrono::seconds(20));
  });
}

Leftovers count_leftovers() {
  Leftovers found;
  found.threads = entries("/proc/self/task");
  found.descriptors = entries("/proc/self/fd") - 1;  // less the one that reads
  for (const auto& entry : fs::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("trireme-")) found.shared_memory.push_back(name);
  }
  std::ranges::sort(found.shared_memory);
  return found;
}

std::string to_string(const Leftovers& leftovers) {
  std::string text =
      str_cat(leftovers.threads, " threads, ", leftovers.descriptors, " descriptors");
  for (const std::string& name : leftovers.shared_memory) text += ", /dev/shm/" + name;
  return text;
}

}  // namespace trireme::testing
