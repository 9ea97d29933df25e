// The keys of one table in one batch: unique, in wire order, split by slot, with where each given
// key's row is in its slot's rows.
//
// Immutable once made; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ps/client/ps_client.h"
#include "ps/protocol/wire.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

// What of a batch goes to one slot.
struct SlotKeys {
  int slot = 0;
  uint64_t list_id = 0;
  std::vector<int64_t> keys;  // in wire order
  // Row j of the batch's rows that are this slot's: number inputs[j] of what was given, number
  // places[j] of `keys`. Both empty: rows `first`, first + 1, … of what was given are those of
  // `keys`. Only `inputs` empty: number j of what was given.
  std::vector<uint32_t> inputs, places;
  int64_t first = 0;
  bool has_repeats = false;  // some keys were given more than once

  int64_t count() const { return static_cast<int64_t>(keys.size()); }
  bool is_contiguous() const { return places.empty(); }
};

class KeySet {
 public:
  int table() const { return table_; }
  int64_t given() const { return given_; }  // keys
  int64_t dim() const { return dim_; }
  std::span<const SlotKeys> slots() const { return slots_; }  // those that have a key, ascending
  // The slot of each virtual shard, as it was split.
  std::span<const int> slot_of_shard() const { return slot_of_shard_; }

  // Rows in the order of the slot's keys: repeated ones added, in the order in which they were
  // given. `gathered` is [slot.count(), dim].
  void gather(const SlotKeys& slot, const float* rows, float* gathered) const;
  // The rows of a slot's keys to where they belong among `rows`, [given, dim].
  void scatter(const SlotKeys& slot, const float* gathered, float* rows) const;

 private:
  friend class KeySetMaker;
  int table_ = 0;
  int64_t given_ = 0, dim_ = 0;
  std::vector<SlotKeys> slots_;
  std::vector<int> slot_of_shard_;
};

// Throws Error{kInvalidArgument} for a negative key, or one that a dense table does not have.
std::shared_ptr<const KeySet> make_key_set(int table, const TableSpec& spec,
                                           std::span<const int64_t> keys, const ShardMap& shards,
                                           std::span<const int> slot_of_shard);
// The same keys, when shards have moved.
std::shared_ptr<const KeySet> split_anew(const KeySet& set, const TableSpec& spec,
                                         const ShardMap& shards,
                                         std::span<const int> slot_of_shard);
// Of a slot's keys, those in some shards. `kept`: which ones, by their place.
SlotKeys keys_in(const SlotKeys& keys, int table, const ShardMap& shards, const ShardSet& wanted,
                 std::vector<uint32_t>& kept);
// All rows of a dense table.
std::shared_ptr<const KeySet> make_full_key_set(int table, const TableSpec& spec,
                                                const ShardMap& shards,
                                                std::span<const int> slot_of_shard);

}  // namespace trireme::ps
