// What the layers of a job's model take from its data before the model is built, and what they make
// of it. Private to worker/.
#pragma once

#include "core/nn/network.h"
#include "worker/build_data.h"

namespace trireme {

// Before a training: shows the layers that take their values from the training data all of its
// examples, and keeps the vocabularies in data.preprocessing. Throws nn::LayerError, and
// Error{kInvalidArgument} when each worker has its own files.
void adapt_layers(const nn::Network& network, JobData& data);

// Otherwise: gives the layers the vocabularies of data.preprocessing, a checkpoint's. Throws
// Error{kInvalidArgument} when one is missing.
void restore_vocabularies(const nn::Network& network, const JobData& data);

// Puts numbers in the place of the features that are texts.
void convert_texts(const nn::Network& network, JobData& data);

}  // namespace trireme
