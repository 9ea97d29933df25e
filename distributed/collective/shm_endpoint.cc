#include "distributed/collective/shm_endpoint.h"

#include "core/base/local_process.h"
#include "distributed/collective/shm_communicator.h"

namespace trireme {
namespace {

// By their pids all ranks of the host find the same segment, and notice who has ended.
Group with_pids(Group group) {
  if (group.look_up == nullptr) return group;
  std::vector<int> members;
  for (int member = 0; member < group.size(); ++member) {
    if (group.peers[static_cast<size_t>(member)].pid == 0) members.push_back(member);
  }
  const std::vector<Peer> found = group.look_up(members);
  for (size_t i = 0; i < members.size(); ++i) {
    Peer& peer = group.peers[static_cast<size_t>(members[i])];
    peer.host = found[i].host;
    peer.pid = found[i].pid;
    peer.address = found[i].address;
  }
  return group;
}

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
    const Group known = with_pids(group);
    return std::make_unique<ShmCommunicator>(known, options,
                                             std::make_unique<ShmSegment>(known, options));
  }

 private:
  const std::string host_id_ = shared_memory_host_id();
};

}  // namespace

std::unique_ptr<CollectiveEndpoint> make_shm_endpoint() { return std::make_unique<ShmEndpoint>(); }

}  // namespace trireme
