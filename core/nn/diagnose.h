// Finds where a loss that is no finite number came from.
#pragma once

#include <string>

#include "core/data/dataset.h"
#include "core/nn/model.h"

namespace trireme::nn {

// One clause that names the first tensor that is not finite, in this order: the batch, the
// variables, the layers' outputs, the gradients. Runs the pass again, with the variables as they
// are after the step's update.
std::string find_non_finite(Model& model, const data::ElementSpec& spec, const data::Element& batch,
                            const StepInputs& inputs);

// The same for the variables alone; empty when they are finite.
std::string find_non_finite_variable(Model& model);

}  // namespace trireme::nn
