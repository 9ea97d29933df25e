// The endpoint of the grpc backend: one TCP port for all generations of a process.
//
// Nothing but an Acceptor is reachable for a peer that has not proved the job's secret. A stream of
// a generation that is over is refused with a line in both logs. Streams of a generation that is
// yet to come wait for it. Communicators keep alive what they need of it. Two threads: one accepts
// connections, one polls while no communicator does. Making one tells malloc to keep up to 64 MiB
// of freed memory.
#pragma once

#include <memory>

#include "distributed/collective/make_communicator.h"

namespace trireme {

std::unique_ptr<CollectiveEndpoint> make_grpc_endpoint(const EndpointOptions& options);

}  // namespace trireme
