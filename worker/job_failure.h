// A task that cannot do its part tells the others of its job, which would wait for it to their
// deadline and take it for a lost peer: they end with its error instead.
#pragma once

#include "core/base/error.h"

namespace trireme {

class Coordinator;
struct ClusterFlags;
struct ClusterOptions;
struct ClusterSpec;

// For a task that is no member of a generation: before it could join, or where there are none.
// `coordinator`: the one that this task hosts, if it is there by now; where it would have hosted
// one the others find it for a moment. Waits a few seconds at most, and does not throw. Nothing to
// do for errors that a restart may mend, and under mpirun, which ends the others itself.
void tell_job_failed(const ClusterSpec& spec, const ClusterOptions& options,
                     Coordinator* coordinator, const Error& error) noexcept;

// The same for a task that knows only what the command line and the environment say.
void tell_failed_start(const ClusterFlags& flags, const ClusterOptions& options,
                       const Error& error) noexcept;

}  // namespace trireme
