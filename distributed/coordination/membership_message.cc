#include "distributed/coordination/membership_message.h"

#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "proto/coordination_service.pb.h"

namespace trireme {
namespace {

constexpr int kLargestGroup = 1 << 20;

// Consecutive ranks on one host, then consecutive hosts with equally many.
std::vector<HostRun> rows_of(const std::vector<int>& hosts) {
  std::vector<HostRun> rows;
  for (size_t begin = 0, end = 0; begin < hosts.size(); begin = end) {
    while (end < hosts.size() && hosts[end] == hosts[begin]) ++end;
    const int ranks = static_cast<int>(end - begin);
    if (!rows.empty() && rows.back().ranks_each == ranks &&
        rows.back().first_host + rows.back().hosts == hosts[begin]) {
      ++rows.back().hosts;
    } else {
      rows.push_back({.first_host = hosts[begin], .ranks_each = ranks});
    }
  }
  return rows;
}

bool same_row(const HostRun& a, const HostRun& b) {
  return a.first_host == b.first_host && a.hosts == b.hosts && a.ranks_each == b.ranks_each;
}

[[noreturn]] void throw_senseless() {
  throw data_loss("the coordinator has sent a membership that makes no sense");
}

std::vector<int> hosts_of(const std::vector<Peer>& peers) {
  std::unordered_map<std::string_view, int> numbers;
  std::vector<int> hosts;
  hosts.reserve(peers.size());
  for (const Peer& peer : peers) {
    hosts.push_back(numbers.emplace(peer.host_id, static_cast<int>(numbers.size())).first->second);
  }
  return hosts;
}

}  // namespace

// Ranks dealt out to the hosts in turn make the same row again and again.
std::vector<HostRun> to_runs(const std::vector<int>& hosts) {
  std::vector<HostRun> runs;
  for (const HostRun& row : rows_of(hosts)) {
    if (!runs.empty() && same_row(runs.back(), row)) {
      ++runs.back().repeat;
    } else {
      runs.push_back(row);
    }
  }
  return runs;
}

std::vector<int> from_runs(const std::vector<HostRun>& runs, int size) {
  std::vector<int> hosts;
  for (const HostRun& run : runs) {
    if (run.first_host < 0 || run.first_host > size || run.hosts < 1 || run.ranks_each < 1 ||
        run.repeat < 1) {
      throw_senseless();
    }
    // Each factor is bounded before it is multiplied.
    const int64_t left = size - static_cast<int64_t>(hosts.size());
    if (run.hosts > left || run.ranks_each > left || run.repeat > left ||
        int64_t{run.hosts} * run.ranks_each > left ||
        int64_t{run.hosts} * run.ranks_each * run.repeat > left) {
      throw_senseless();
    }
    for (int again = 0; again < run.repeat; ++again) {
      for (int host = 0; host < run.hosts; ++host) {
        hosts.insert(hosts.end(), static_cast<size_t>(run.ranks_each), run.first_host + host);
      }
    }
  }
  if (static_cast<int>(hosts.size()) != size) throw_senseless();
  return hosts;
}

void to_message(const Peer& peer, coordination::PeerMessage* message) {
  message->set_rank(peer.rank);
  message->set_host(peer.host);
  message->set_host_id(peer.host_id);
  message->set_pid(peer.pid);
  message->set_address(peer.address);
}

Peer to_peer(const coordination::PeerMessage& message) {
  return {.rank = message.rank(),
          .host = message.host(),
          .host_id = message.host_id(),
          .pid = message.pid(),
          .address = message.address()};
}

void describe_group(const std::vector<Peer>& peers, coordination::MembershipMessage* message) {
  message->set_size(static_cast<int>(peers.size()));
  if (peers.size() <= static_cast<size_t>(kLargestNamedGroup)) {
    for (const Peer& peer : peers) to_message(peer, message->add_peers());
    return;
  }
  for (const HostRun& run : to_runs(hosts_of(peers))) {
    auto* entry = message->add_hosts();
    entry->set_first_host(run.first_host);
    entry->set_hosts(run.hosts);
    entry->set_ranks_each(run.ranks_each);
    entry->set_repeat(run.repeat);
  }
}

Membership to_membership(const coordination::MembershipMessage& message, Peer mine) {
  const int size = message.size();
  if (size < 1 || size > kLargestGroup || message.rank() < 0 || message.rank() >= size ||
      message.state_source() < 0 || message.state_source() >= size || message.progress() < 0) {
    throw_senseless();
  }
  Membership membership;
  membership.group.generation = message.generation();
  membership.group.rank = message.rank();
  membership.state_source = message.state_source();
  membership.progress = message.progress();
  auto& peers = membership.group.peers;
  if (message.peers_size() > 0) {
    for (const auto& peer : message.peers()) {
      if (peer.rank() != membership.group.size()) throw_senseless();
      peers.push_back(to_peer(peer));
    }
    if (membership.group.size() != size) throw_senseless();
    return membership;
  }
  std::vector<HostRun> runs;
  for (const auto& run : message.hosts()) {
    runs.push_back({run.first_host(), run.hosts(), run.ranks_each(), run.repeat()});
  }
  for (const int host : from_runs(runs, size)) {
    peers.push_back({.rank = membership.group.size(), .host_id = str_cat("#", host)});
  }
  Peer& self = peers[static_cast<size_t>(message.rank())];
  self.host = std::move(mine.host);
  self.pid = mine.pid;
  self.address = std::move(mine.address);
  return membership;
}

}  // namespace trireme
