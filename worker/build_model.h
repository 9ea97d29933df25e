// From the job's layers, loss, optimizer and metrics to a compiled model.
#pragma once

#include <memory>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/model.h"

namespace trireme {

class JobFile;

// Adds the job's layers and builds them for batches of features like `features`. Throws
// invalid_argument with the line of the layer in the job file when one does not fit.
void build_layers(nn::Model& model, const JobFile& file, const std::vector<TensorType>& features);

// Optimizer, loss and metrics. `steps` of the whole run, for schedules that end with it.
nn::CompileOptions compile_options(const JobFile& file, int64_t steps);

}  // namespace trireme
