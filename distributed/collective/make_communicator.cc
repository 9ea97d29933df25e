#include "distributed/collective/make_communicator.h"

#include <utility>

#include "core/base/logging.h"
#include "distributed/collective/grpc_endpoint.h"
#include "distributed/collective/hierarchical.h"
#include "distributed/collective/host_layout.h"
#include "distributed/collective/mpi_endpoint.h"
#include "distributed/collective/shm_endpoint.h"

namespace trireme {
namespace {

// Chooses when it knows the peers, and says what it chose. The hierarchical endpoint itself uses
// shared memory alone on one host, and the network alone where no two ranks share one.
class AutoEndpoint final : public CollectiveEndpoint {
 public:
  explicit AutoEndpoint(const EndpointOptions& options)
      : chosen_(make_hierarchical_endpoint(make_shm_endpoint(), make_grpc_endpoint(options))) {}

  std::string address() const override { return chosen_->address(); }
  std::string host_id() const override { return chosen_->host_id(); }

  std::unique_ptr<Communicator> connect(const Group& group,
                                        const CommunicatorOptions& options) override {
    auto communicator = chosen_->connect(group, options);
    if (group.rank == 0) {
      const HostLayout layout(group);
      const char* choice = layout.hosts.size() == 1   ? "shm, since all ranks are on one host"
                           : layout.most_ranks() == 1 ? "grpc, since each rank has its own host"
                                                      : "shm+grpc, since some ranks share a host";
      log_info(str_cat("collectives of generation ", group.generation, ": auto chose ", choice,
                       " (", communicator->description(), ")"));
    }
    return communicator;
  }

 private:
  const std::unique_ptr<CollectiveEndpoint> chosen_;
};

}  // namespace

std::vector<std::string> collective_backends() {
  return {"auto", "shm", "grpc", "mpi", "shm+grpc", "shm+mpi"};
}

std::unique_ptr<CollectiveEndpoint> make_endpoint(const EndpointOptions& options) {
  const std::string& backend = options.backend;
  if (backend == "auto") return std::make_unique<AutoEndpoint>(options);
  if (backend == "shm") return make_shm_endpoint();
  if (backend == "grpc") return make_grpc_endpoint(options);
  if (backend == "mpi") return make_mpi_endpoint(options);
  if (backend == "shm+grpc") {
    return make_hierarchical_endpoint(make_shm_endpoint(), make_grpc_endpoint(options));
  }
  if (backend == "shm+mpi") {
    return make_hierarchical_endpoint(make_shm_endpoint(), make_mpi_endpoint(options));
  }
  std::string known;
  for (const std::string& one : collective_backends()) known += (known.empty() ? "" : ", ") + one;
  throw invalid_argument("expected a collective backend (", known, "), found \"", backend, "\"");
}

}  // namespace trireme
