// Transports for tests: between threads, in memory; and one that breaks at a chosen send.
#pragma once

#include <memory>
#include <vector>

#include "distributed/collective/transport.h"

namespace trireme::testing {

// Queues between `n` ranks of this process. Sends copy; what one rank is aborted with ends the
// waits of all.
std::vector<std::unique_ptr<Transport>> make_memory_transports(int n);

enum class TransportFault {
  kThrow,  // the send fails
  kClose,  // the connections close, as if the process had ended
};
// Breaks at send number `at`, counted from 0.
std::unique_ptr<Transport> make_faulty_transport(std::unique_ptr<Transport> transport,
                                                 TransportFault fault, int at);

}  // namespace trireme::testing
