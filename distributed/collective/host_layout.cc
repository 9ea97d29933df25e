#include "distributed/collective/host_layout.h"

#include <algorithm>
#include <bit>
#include <map>

namespace trireme {

HostLayout::HostLayout(const Group& group) {
  std::map<std::string, size_t> index_of;
  for (int rank = 0; rank < group.size(); ++rank) {
    const std::string& id = group.peers[static_cast<size_t>(rank)].host_id;
    const auto [found, added] = index_of.emplace(id, hosts.size());
    if (added) hosts.emplace_back();
    std::vector<int>& ranks = hosts[found->second];
    if (rank == group.rank) {
      my_host = static_cast<int>(found->second);
      my_index = static_cast<int>(ranks.size());
    }
    ranks.push_back(rank);
  }
}

size_t HostLayout::most_ranks() const {
  size_t most = 0;
  for (const auto& ranks : hosts) most = std::max(most, ranks.size());
  return most;
}

bool HostLayout::nests_in_tree() const {
  const size_t block = hosts.front().size();
  int next = 0;
  for (const auto& ranks : hosts) {
    const bool last = &ranks == &hosts.back();
    if (last ? ranks.size() > block : ranks.size() != block) return false;
    for (const int rank : ranks) {
      if (rank != next++) return false;
    }
  }
  return hosts.size() == 1 || std::has_single_bit(block);
}

Group subgroup(const Group& group, const std::vector<int>& ranks, int index,
               const std::string& suffix) {
  Group part;
  part.generation = group.generation;
  part.rank = index;
  for (const int rank : ranks) part.peers.push_back(group.peers[static_cast<size_t>(rank)]);
  part.job_id = group.job_id + suffix;
  part.secret = group.secret;
  if (group.look_up != nullptr) {
    part.look_up = [ranks, look_up = group.look_up](const std::vector<int>& members) {
      std::vector<int> whole;
      for (const int member : members) whole.push_back(ranks[static_cast<size_t>(member)]);
      return look_up(whole);
    };
  }
  return part;
}

}  // namespace trireme
