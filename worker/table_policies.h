// Which keys of the model's embeddings have a row on parameter servers: `table { … }` of the job's
// layers, wherever in the model they stand. Private to worker/.
#pragma once

#include <span>

#include "ps/table/table_spec.h"

namespace trireme {

class JobFile;
namespace nn {
class Model;
}

// Throws Error{kInvalidArgument} with the place in the job for numbers that are no policy, and for
// a policy of a training that keeps no rows on parameter servers (`uses_servers`).
void check_table_policies(const JobFile& file, bool uses_servers);

// Sets the policies of the tables. REQUIRES: the model's layers are those of the job. Throws
// Error{kInvalidArgument} with the place in the job for a policy whose layer has no table.
void set_table_policies(const JobFile& file, const nn::Model& model,
                        std::span<ps::TableSpec> tables);

}  // namespace trireme
