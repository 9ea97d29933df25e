// Model files as text, for `trireme inspect`.
#pragma once

#include <memory>

#include "core/io/inspect.h"
#include "worker/job_schema.h"

namespace trireme {

// Knows all formats of model_formats() but checkpoints of ours, which have an inspector of their
// own.
io::Inspector model_inspector(std::shared_ptr<const JobSchema> schema);

}  // namespace trireme
