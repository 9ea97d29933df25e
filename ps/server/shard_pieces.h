// A virtual shard in pieces, as it goes to a backup, to another slot or into a file.
//
// Plain functions; copy_rows() on the shard's thread.
#pragma once

#include <cstddef>
#include <vector>

#include "ps/server/job_setup.h"
#include "ps/server/log_entry.h"
#include "ps/server/push.h"
#include "ps/server/slot_shards.h"

namespace trireme::ps {

// All rows of all tables, in batches, and the keys that wait: entries of these kinds.
void copy_rows(const Shard& shard, int number, EntryKind rows, EntryKind waiting,
               std::vector<LogEntry>& entries);

// The request of a push with what the gate holds of it: SYNC rows of some shards, which its header
// names, and all their keys.
std::vector<std::byte> part_of_push(const Push& push, const ShardSet& shards,
                                    const JobSetup& setup);

}  // namespace trireme::ps
