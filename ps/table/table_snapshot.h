// A TableShard::Snapshot: cuts of its rows and of the keys that wait.
#pragma once

#include <memory>

#include "ps/table/row_store.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

// A row as it lies in a store.
RowView view_of(const TableSpec& spec, const std::byte* row);

std::unique_ptr<TableShard::Snapshot> make_snapshot(const TableSpec& spec,
                                                    std::shared_ptr<RowCut> rows,
                                                    std::shared_ptr<RowCut> waiting);

}  // namespace trireme::ps
