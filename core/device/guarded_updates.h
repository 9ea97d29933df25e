// Updates that may be left out: the kernels of the ops NAME + "If" (core/ops/update.cc) of a device
// whose memory the host can read.
#pragma once

#include <string_view>

namespace trireme {

class KernelTable;

// Adds to each update op that has kernels under `kind` those of its guarded twin.
void add_guarded_updates(KernelTable& table, std::string_view kind);

}  // namespace trireme
