// The members of one generation of a job, as the coordinator tells each of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trireme {

struct Peer {
  int rank = 0;
  std::string host;     // name for messages
  std::string host_id;  // equal exactly when two tasks can share memory
  int64_t pid = 0;
  std::string address;  // "host:port" of its data server; empty when it has none

  // "rank 2 (host n2, pid 4121)"
  std::string to_string() const;
};

// A generation: the ranks that work together until one of them fails or another joins.
struct Group {
  int64_t generation = 0;
  int rank = 0;             // mine
  std::vector<Peer> peers;  // by rank; mine too
  std::string job_id;
  std::string secret;
  // Fills in `pid` and `address` of these members where `peers` has none, as in large groups, where
  // nobody is told everything. Null: all are known. Throws Error{kUnavailable} when the coordinator
  // is gone or the generation is over.
  std::function<std::vector<Peer>(const std::vector<int>& members)> look_up = nullptr;

  int size() const { return static_cast<int>(peers.size()); }
};

}  // namespace trireme
