// Trireme's own model files: a run's folder, its checkpoints, one of them, or an exported folder.
//
// Each checkpoint of a training says which job wrote it, and what the model takes
// (worker/job_record.h), so that neither the job file nor the data are needed to read it.
#pragma once

#include <memory>

#include "core/formats/format.h"

namespace trireme {

class JobSchema;

// Written is a run's folder: job.textproto, to which data are to be added, and checkpoints/, which
// `trireme train FOLDER/job.textproto --output-dir FOLDER --resume` goes on from where the
// optimizer's slots are known.
formats::Format trireme_format(std::shared_ptr<const JobSchema> schema);

// Whether the path means a checkpoint of ours: a run's folder, one of checkpoints, a prefix.
bool is_own_checkpoint(const std::string& path);
// What io::resolve_checkpoint() takes for it: of a run's folder that of its checkpoints.
std::string own_checkpoint(const std::string& path);

// The tensors of a checkpoint with these weights and this training; its step is 0 where the file
// does not say it. It has no position in data: complete_progress() gives it that of its step.
nn::StateMap checkpoint_of(const JobSchema& schema, const formats::ModelFile& file);

}  // namespace trireme
