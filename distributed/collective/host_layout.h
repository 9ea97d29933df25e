// Which ranks of a group share a host.
#pragma once

#include <string>
#include <vector>

#include "distributed/cluster/peer.h"

namespace trireme {

struct HostLayout {
  // The ranks of each host, ascending; hosts in the order of their first ranks, which lead them.
  std::vector<std::vector<int>> hosts;
  int my_host = 0;
  int my_index = 0;  // among the ranks of my host

  explicit HostLayout(const Group& group);

  const std::vector<int>& mine() const { return hosts[static_cast<size_t>(my_host)]; }
  bool leads() const { return my_index == 0; }
  size_t most_ranks() const;
  // Whether the tree over all ranks is the tree over hosts of the trees inside them: hosts hold
  // consecutive blocks of the same power of two of ranks, the last one perhaps fewer.
  bool nests_in_tree() const;
};

// The group of these ranks of `group`, of which the caller is number `index`. Peers keep their rank
// of the whole group, for messages; look_up() takes numbers of the part.
Group subgroup(const Group& group, const std::vector<int>& ranks, int index,
               const std::string& suffix);

}  // namespace trireme
