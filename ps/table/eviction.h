// Which rows of a table go.
#pragma once

#include <cstdint>
#include <vector>

#include "ps/table/row_table.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

// Row numbers of those that TableShard::evict() removes. `most`: rows that may stay; 0: any.
std::vector<uint32_t> rows_to_evict(const RowTable& table, const EvictionPolicy& policy,
                                    int64_t most, int64_t step, bool on_command);

}  // namespace trireme::ps
