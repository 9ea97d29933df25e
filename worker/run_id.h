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
// FOLDER/run.json has the id of an earlier start.
std::string launch_id(const std::string& folder, bool goes_on, const Environment& environment);
// Writes that file, where there may be a next start. Throws Error when it cannot be written.
// REQUIRES: the folder is this job's.
void keep_launch_id(const std::string& folder, const std::string& id,
                    const Environment& environment);
// Whether the file is of this launch, so that what is in the folder is its own.
bool is_kept_launch(const std::string& folder, const std::string& id);

// For a launcher, which gives its tasks TRIREME_RUN_ID: what they must have in TRIREME_STARTED_BY
// for keep_launch_id(). Empty: nothing starts the launcher again.
std::string started_by(const Environment& environment);

}  // namespace trireme
