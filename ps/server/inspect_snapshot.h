// What `trireme inspect` prints of the rows that parameter servers have saved.
#pragma once

#include "core/io/inspect.h"

namespace trireme::ps {

// PREFIX.ps, or PREFIX of a checkpoint whose rows are in PREFIX.ps-0000I-of-0000N: for each table
// its rows, bytes, age (steps since the last push), pushes a row, and the norms of its weights and
// slots, over all parts.
io::Inspector snapshot_inspector();

}  // namespace trireme::ps
