// The id of a launch of a job, which its checkpoints carry: a task that is started again goes on
// from what this launch has saved, and from nothing else. Private to worker/ and launcher/.
//
// Whoever hosts the coordinator asks for it, and all other tasks hear it from there.
#pragma once

#include <string>

#include "distributed/cluster/cluster_spec.h"

namespace trireme {

// Whether anything may start this process again: one that works alone needs an id only then.
bool may_start_again(const Environment& environment);

// An id that nobody has had before; or that of an earlier start, where the environment says that
// this is the same launch once more:
//   TRIREME_RUN_ID                            it says the id
//   TRIREME_INCARNATION, torchrun's counter   more than 0
//   SLURM_JOB_ID                              the same, and `goes_on`: a requeued job keeps its
//                                             number
// Where there may be a next start, FOLDER/run.json keeps the id for it. Throws Error when that
// cannot be written.
std::string launch_id(const std::string& folder, bool goes_on, const Environment& environment);

}  // namespace trireme
