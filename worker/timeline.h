// `--timeline`: what each rank did when, as Chrome traces that chrome://tracing and Perfetto show.
#pragma once

#include <string>

#include "core/runtime/tracer.h"
#include "distributed/collective/communicator.h"

namespace trireme {

// Writes DIRECTORY/rank-R.json, and on rank 0 DIRECTORY/timeline.json with all ranks on one clock,
// where each collective is split into the wait for the last rank and the transfer. Every rank calls
// it; `communicator` is null for a single process. Ranks are reached through it, no shared folder
// is needed.
void write_timeline(const std::string& directory, const Tracer& tracer, Communicator* communicator);

}  // namespace trireme
