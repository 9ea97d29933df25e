// How a task of a cluster proves who it is, and whether its connections are encrypted.
#pragma once

#include "distributed/cluster/cluster_spec.h"
#include "distributed/connection/pending_stream.h"

namespace trireme {

// From spec.secret and spec.tls; a task that asks again gets the same. Any thread.
// A task that listens beyond loopback and does not encrypt says so in the log. Throws
// Error{kInvalidArgument} for files that cannot be used, and for TLS on loopback without a secret.
Security make_security(const ClusterSpec& spec);

}  // namespace trireme
