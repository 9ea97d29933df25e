#include "distributed/cluster/peer.h"

#include "core/base/error.h"

namespace trireme {

std::string Peer::to_string() const {
  return str_cat("rank ", rank, " (host ", host, ", pid ", pid, ")");
}

}  // namespace trireme
