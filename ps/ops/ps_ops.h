// Tables on parameter servers as graph nodes. All of them run on the communication stream.
//
// PsLookup: rows of one table, for reading. Input: keys, i32 or i64 of any shape; output: f32,
//   keys' shape + [dim]. Attributes: "table" (name), "dim". An embedding layer makes it; a strategy
//   puts a PsPull in its place where the rows are to be trained.
// PsPull: all that a step reads, in one message. Inputs: the step, i64[], from 1; `lookups` lists
//   of keys; then for each dense table a value of its type, which lends its type only. Outputs: the
//   rows of each list, as PsLookup's; the values of each dense table. Attributes: "tables" (names,
//   joined by line feeds, of the lists and then the dense ones), "dims" (of the lists), "label".
// PsPush: a part of a step's gradients. Inputs: the learning rate, f32[]; the step; for each list
//   its keys and their gradients; then the gradients of dense tables. Output: i64[], how many
//   pushes of this worker came too late so far. Attributes: "tables", "lookups" (how many lists),
//   "part", "parts", "label".
//
// The rows are leaves of a gradient sweep: a strategy asks for gradients with respect to them.
#pragma once

#include <memory>

#include "core/graph/op_def.h"
#include "ps/ops/table_store.h"

namespace trireme {
class KernelTable;
}

namespace trireme::ps {

void register_ps_ops(OpTable& table);

// For devices with host memory. `slot` lives as long as they are used.
void register_ps_kernels(KernelTable& table, std::shared_ptr<TableStoreSlot> slot);

}  // namespace trireme::ps
