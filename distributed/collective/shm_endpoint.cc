#include "distributed/collective/shm_endpoint.h"

#include "core/base/local_process.h"
#include "distributed/collective/shm_communicator.h"

namespace trireme {
namespace {

class ShmEndpoint final : public CollectiveEndpoint {
 public:
  std::string address() const override { return ""; }
  std::string host_id() const override { return host_id_; }

  std::unique_ptr<Communicator> connect(const Group& group,
                                        const CommunicatorOptions& options) override {
    const Peer& me = group.peers[static_cast<size_t>(group.rank)];
    for (const Peer& peer : group.peers) {
      if (peer.host_id == me.host_id) continue;
      throw invalid_argument("shared memory cannot join ", me.to_string(), " and ",
                             peer.to_string(),
                             ", which are on different hosts or in different containers; use "
                             "shm+grpc, grpc or mpi");
    }
    return std::make_unique<ShmCommunicator>(group, options,
                                             std::make_unique<ShmSegment>(group, options));
  }

 private:
  const std::string host_id_ = shared_memory_host_id();
};

}  // namespace

std::unique_ptr<CollectiveEndpoint> make_shm_endpoint() { return std::make_unique<ShmEndpoint>(); }

}  // namespace trireme
