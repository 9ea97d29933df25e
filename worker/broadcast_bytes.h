// Bytes of any number from one rank to all. Private to worker/.
#pragma once

#include <string>

#include "distributed/collective/communicator.h"

namespace trireme {

// `what`: for messages; lives until the call returns.
void broadcast_bytes(Communicator& communicator, int source, void* data, size_t bytes,
                     const std::string& what);
// The length too.
void broadcast_text(Communicator& communicator, int source, std::string& text,
                    const std::string& what);

}  // namespace trireme
