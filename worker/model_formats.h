// The formats of model files that the program knows.
#pragma once

#include <memory>
#include <vector>

#include "core/formats/format.h"
#include "worker/job_schema.h"

namespace trireme {

// In the order in which a file is offered to them.
std::vector<formats::Format> model_formats(
    std::shared_ptr<const JobSchema> schema = core_job_schema());

}  // namespace trireme
