// From the job's layers, loss, optimizer and metrics to a compiled model.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/model.h"

namespace trireme {

class JobFile;

// Adds the job's layers. Throws invalid_argument with the line of the layer in the job file when
// one does not fit.
void add_layers(nn::Model& model, const JobFile& file);
// Does `work`; a LayerError of it says which line of the job file it is about.
void with_places(const JobFile& file, const std::function<void()>& work);

// Both: adds the layers and builds them for batches of features like `features`.
void build_layers(nn::Model& model, const JobFile& file, const std::vector<TensorType>& features);

// Optimizer, loss and metrics. `steps` of the whole run, for schedules that end with it.
// `label_unit`: what a label of 1 is in the units of its column, in which loss and errors are
// shown; null: the labels are as they are. It is read when they are shown.
nn::CompileOptions compile_options(const JobFile& file, int64_t steps,
                                   std::shared_ptr<const double> label_unit = nullptr);

}  // namespace trireme
