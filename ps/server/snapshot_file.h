// A cut of a slot as files: a tensor bundle with, for each table,
//   ps/TABLE/keys i64[n], weights f32[n, dim], slot/NAME f32[n, dim], frequency i64[n],
//   version i64[n]; waiting i64[k, 3] (key, version, sightings) where admission counts some
// and ps/step, ps/newest_step, ps/changed_since (i64), ps/state (a proto::SlotState, u8) and
// ps/session (a string). What a checkpoint's cut belongs to is in ps/job and ps/save (strings) and
// ps/checkpoint_step (i64).
//
// A checkpoint PREFIX has one such bundle for each slot, PREFIX.ps-0000I-of-0000N, and is read by
// any number of slots. PREFIX.ps names them all: see core/io/checkpoint_parts.h.
//
// Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/io/checkpoint_parts.h"
#include "ps/server/slot.h"

namespace trireme::ps {

std::string snapshot_manifest(const std::string& prefix);  // PREFIX.ps
std::string snapshot_part(const std::string& prefix, int slot, int slots);
// All parts of a checkpoint that may lack its manifest, by their names. Throws Error{kNotFound}
// naming the parts that are not there.
std::vector<std::string> snapshot_parts(const std::string& prefix);

// What a cut was made for.
struct SnapshotLabel {
  std::string job;    // the id of the job that wrote it
  std::string save;   // of the checkpoint: equal in all of its parts; empty: it is none's
  int64_t step = -1;  // of the checkpoint; −1: it is none's
};

// `changed_since`: only rows with a later version; −1: all. Returns the rows written. Throws what
// BundleWriter throws.
int64_t write_snapshot(const Cut& cut, const std::string& bundle, int64_t changed_since,
                       const SnapshotLabel& label = {});

struct SnapshotHead {
  int64_t step = 0;            // see Cut
  int64_t newest_step = 0;     // likewise
  int64_t changed_since = -1;  // of an incremental one; −1: it has all rows
  SnapshotLabel label;
  std::string state;
  std::string session;  // of the tables
};
// Throws Error{kNotFound}, Error{kDataLoss} as BundleReader does.
SnapshotHead read_snapshot_head(const std::string& bundle);

// The manifest of the checkpoint PREFIX, when its parts are those that were written with it: each
// is there, with the size and checksum that the manifest says (`all`: of its data too, which is
// read for that), and says the same step, job and save. `step`: that is expected; −1: any. Throws
// Error{kNotFound} or Error{kDataLoss} naming the part, what was expected and what was found.
io::PartsManifest verify_checkpoint(const std::string& prefix, int64_t step, bool all);

using VisitBatch = std::function<void(EntryKind kind, int shard, int table, Message batch)>;
// Calls `visit` with batches of the rows (kRows), and of waiting keys (kWaiting), in `shards`.
// Tables that `setup` does not have are left out, and named in the log. Throws
// Error{kInvalidArgument} when a table has another dim or other slots there.
void read_snapshot_rows(const std::string& bundle, const JobSetup& setup, const ShardSet& shards,
                        const VisitBatch& visit);

// The complete bundles of this slot in a directory where slots are written again and again, the
// newest first; the newest alone, empty: none. And the name of the next one.
std::vector<std::string> snapshots_of(const std::string& directory, int slot);
std::string newest_snapshot(const std::string& directory, int slot);
std::string next_snapshot(const std::string& directory, int slot);
// Of a shard that came to this slot: its rows then, until a snapshot of the slot has it. `state` is
// a proto::ShardArrival.
std::string arrival_bundle(const std::string& directory, int slot, int shard);
// Removes those of this slot but `bundle` and the one before it.
void remove_old_snapshots(const std::string& directory, int slot, const std::string& bundle);
// Removes all bundles in the directory, of slots and of shards that came, that are not of this
// session: nothing can go on from them any more. Empty: all.
void remove_other_snapshots(const std::string& directory, const std::string& session);

}  // namespace trireme::ps
