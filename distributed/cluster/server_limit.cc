#include "distributed/cluster/server_limit.h"

#include "core/base/error.h"

namespace trireme {

void check_server_count(int servers) {
  if (servers <= kMostServers) return;
  throw invalid_argument("a job with ", servers, " parameter servers: expected at most ",
                         kMostServers);
}

}  // namespace trireme
