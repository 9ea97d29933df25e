// Brings the rows of a checkpoint into a slot, by way of its log.
//
// Any thread that may wait: it reads files and goes no faster than the slot.
#pragma once

#include <string>

#include "ps/server/slot.h"

namespace trireme::ps {

// All parts of PREFIX, written by any number of slots, when they are whole and of `step` (−1: any):
// see verify_checkpoint(). What the slot has goes first, unless the checkpoint is incremental.
// Throws as snapshot_file.h says, before anything has changed unless data turn out to be damaged
// while they are read; kUnavailable when the slot is not the primary any more.
struct Restored {
  int64_t step = 0;  // that training goes on behind
  ShardSet shards;   // that the slot had then
};
Restored restore_checkpoint(Slot& slot, const std::string& prefix, int64_t step = -1);

// Of a slot that begins anew, before promote(): its newest snapshot in `directory` that is of this
// session and can be read, state and all. Empty when it has one; else why it has none.
// `shards`: that the directory says it has. One that came after the snapshot is in a file of its
// own.
std::string restore_newest(Slot& slot, const std::string& directory, const std::string& session,
                           const ShardSet& shards);

}  // namespace trireme::ps
