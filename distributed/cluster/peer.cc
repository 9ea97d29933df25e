#include "distributed/cluster/peer.h"

#include "core/base/error.h"

namespace trireme {

std::string Peer::to_string() const {
  if (host.empty() && pid == 0) return str_cat("rank ", rank);  // of a large group, not looked up
  return str_cat("rank ", rank, " (host ", host, ", pid ", pid, ")");
}

}  // namespace trireme
