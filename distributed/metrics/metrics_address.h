// Where a task serves /metrics.
#pragma once

#include <string>
#include <string_view>

#include "distributed/cluster/cluster_spec.h"

namespace trireme {

struct MetricsAddress {
  std::string host = "127.0.0.1";  // name or address, without brackets
  int port = 0;                    // 0: any that is free

  // "10.0.0.1:9100"; with the name of this host where all its addresses are meant.
  std::string to_string() const;
};

// Where a task serves when its job was told `first`. Each task that a launcher starts has a port of
// its own: the first one and the task's rank on its host. One that was started by hand, or whose
// launcher does not say that rank, has `first` itself. Throws Error{kInvalidArgument} when the port
// would be above 65535.
MetricsAddress metrics_address(const MetricsAddress& first, const ClusterSpec& task);
// The first of those of a further `count` tasks. Throws the same.
MetricsAddress behind(const MetricsAddress& first, int count);

// "9100", "10.0.0.1:9100", "0.0.0.0:9100", "[::]:9100"; without a host it is loopback. `name` is
// the option, for messages. Throws Error{kInvalidArgument}.
MetricsAddress parse_metrics_address(std::string_view text, const std::string& name);

}  // namespace trireme
