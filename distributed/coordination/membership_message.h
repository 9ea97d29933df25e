// What the coordinator tells each member of a new generation, and how a member reads it.
//
// The message to one member of a small group names all peers. In a large group that would be n² of
// them for each generation: its message says only which ranks share a host, as runs whose number
// does not grow with the group where ranks are placed evenly. Pids and addresses are asked for.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "distributed/cluster/peer.h"
#include "distributed/coordination/coordinator_client.h"

namespace trireme {

namespace coordination {
class MembershipMessage;
class PeerMessage;
}  // namespace coordination

// The members of larger groups ask for their peers.
inline constexpr int kLargestNamedGroup = 64;

// See HostRun in the protocol.
struct HostRun {
  int first_host = 0;
  int hosts = 1;
  int ranks_each = 1;
  int repeat = 1;
};
// `hosts`: by rank, numbers that count hosts by their first rank. The runs cover all ranks.
std::vector<HostRun> to_runs(const std::vector<int>& hosts);
// Throws Error{kDataLoss} when the runs do not cover exactly `size` ranks.
std::vector<int> from_runs(const std::vector<HostRun>& runs, int size);

void to_message(const Peer& peer, coordination::PeerMessage* message);
Peer to_peer(const coordination::PeerMessage& message);

// What is the same for all members: the size, and the peers or their hosts.
void describe_group(const std::vector<Peer>& peers, coordination::MembershipMessage* message);

// The other way. In a large group only `mine` has a name, a pid and an address, and `host_id`s are
// numbers, which are equal where those of the tasks are. Throws Error{kDataLoss} when the message
// makes no sense.
Membership to_membership(const coordination::MembershipMessage& message, Peer mine);

}  // namespace trireme
