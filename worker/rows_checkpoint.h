// The rows of tables beside a checkpoint: CHECKPOINTS/rows/ckpt-STEP, which parameter servers
// write. Private to worker/.
#pragma once

#include <string>

#include "ps/ops/local_store.h"

namespace trireme {

// Where the rows of the checkpoint PREFIX lie.
std::string rows_prefix(const std::string& checkpoint);
// Whether they are there, complete.
bool has_rows(const std::string& checkpoint);

// The weights of all tables of `store`, as they were in the checkpoint. Throws Error{kNotFound} for
// missing parts, kInvalidArgument for a table of another length.
void load_rows(const std::string& checkpoint, ps::LocalStore& store);

}  // namespace trireme
