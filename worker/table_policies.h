// Which keys of the model's embeddings have a row on parameter servers: `table { … }` of the job's
// layers, wherever in the model they stand. Private to worker/.
#pragma once

#include "core/nn/layer.h"

namespace trireme {

class JobFile;

// Throws Error{kInvalidArgument} with the place in the job for a policy of a training that keeps no
// rows on parameter servers (`uses_servers`). REQUIRES: `layers` are those of the job.
void check_table_policies(const JobFile& file, const nn::LayerList& layers, bool uses_servers);

}  // namespace trireme
