#include "tests/distributed/collective_grpc/meeting.h"

#include <unistd.h>

#include <thread>

namespace trireme::testing {

Endpoints::Endpoints(int n, const std::string& shared_secret) : secret(shared_secret) {
  for (int i = 0; i < n; ++i) {
    all.push_back(
        make_grpc_endpoint({.backend = "grpc", .listen = "127.0.0.1", .secret = shared_secret}));
  }
}

Group Endpoints::group(int64_t generation, int rank) const {
  Group group;
  group.generation = generation;
  group.rank = rank;
  group.job_id = "grpc-test";
  group.secret = secret;
  for (size_t i = 0; i < all.size(); ++i) {
    group.peers.push_back({.rank = static_cast<int>(i),
                           .host = "here",
                           .host_id = "here",
                           .pid = getpid(),
                           .address = all[i]->address()});
  }
  return group;
}

std::vector<std::optional<Error>> run(Endpoints& endpoints, int64_t generation,
                                      const CommunicatorOptions& options, const RankBody& body,
                                      const GroupChange& change) {
  const size_t n = endpoints.all.size();
  std::vector<std::optional<Error>> errors(n);
  std::vector<std::jthread> threads;
  for (size_t rank = 0; rank < n; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        Group group = endpoints.group(generation, static_cast<int>(rank));
        if (change) change(group);
        const auto communicator = endpoints.all[rank]->connect(group, options);
        body(*communicator);
      } catch (const Error& error) {
        errors[rank] = error;
      }
    });
  }
  threads.clear();
  return errors;
}

void check_sum(Communicator& communicator) {
  std::vector<int32_t> values(1000, communicator.rank() + 1);
  communicator.all_reduce({values.data(), 1000, DType::kInt32}, ReduceOp::kSum);
  const int n = communicator.size();
  for (const int32_t value : values) {
    if (value != n * (n + 1) / 2) throw failed("expected ", n * (n + 1) / 2, ", found ", value);
  }
}

}  // namespace trireme::testing
