// The rows of one table in one virtual shard: a growing hash table from key to row.
//
// A row keeps weight, optimizer slots, frequency and version together. It is made by the first push
// that is admitted; until then its key is pulled as its initial value. Updates are by the rules
// of core/rules. The result of a sequence of calls depends on that sequence only, so
// that a replica that gets the same calls has the same bytes.
//
// A key that was seen but not admitted has no row; it waits, and its sightings are counted. They
// are part of the state of the shard too: whoever copies it copies rows and waiting keys.
//
// One thread, the owner of the shard, except where a method says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ps/table/table_spec.h"

namespace trireme::ps {

// What holds for all rows of one push.
struct PushContext {
  int64_t step = 1;  // from 1, as Adam counts; the rows' version
  double learning_rate = 0;
};

struct RowView {
  int64_t key = 0;
  int64_t version = 0;  // step of the last push
  int64_t frequency = 0;
  std::span<const float> weight;
  std::span<const float> slots;  // dim of the first slot, then dim of the second, and so on
};

struct WaitingKey {
  int64_t key = 0;
  int64_t version = 0;  // step of the last sighting
  int64_t sightings = 0;
};

struct ShardStatistics {
  int64_t rows = 0;
  int64_t bytes = 0;    // all memory of the shard: rows, index, counters, snapshots
  int64_t waiting = 0;  // keys that were seen and not admitted yet
  int64_t evicted = 0;  // since the beginning
  int64_t oldest = 0;   // version of the oldest row
  double squares = 0;   // sum of the squares of all weights
};

// Where the rows of a list of keys are, so that a list that comes again is not looked up again.
// Opaque; made and used by one TableShard only.
struct Resolution {
  uint64_t epoch = 0;  // of the shard: rows that moved or went make it stale
  std::vector<uint32_t> rows;
};

class TableShard {
 public:
  // `index`, `count`: this virtual shard, of how many: for limits that are for the whole table.
  // Throws Error{kInvalidArgument} for an update that does not exist or does not fit the slots.
  TableShard(const TableSpec& spec, int index, int count);
  ~TableShard();
  TableShard(const TableShard&) = delete;

  // Copies the weight of each key into `rows` [keys, dim]. `resolution`, when not null, is used
  // when it is still good, and else filled.
  void pull(std::span<const int64_t> keys, float* rows, Resolution* resolution = nullptr) const;

  // Applies `gradients` [keys, dim]. REQUIRES: no key twice. Returns how many rows were not
  // admitted.
  int64_t push(std::span<const int64_t> keys, const float* gradients, const PushContext& context,
               Resolution* resolution = nullptr);

  // Upper bound of the bytes that a push of these keys would add. Takes the time of looking the
  // keys up only when there is no room for all of them.
  int64_t growth(std::span<const int64_t> keys, const Resolution* resolution = nullptr) const;

  // Makes or replaces a row, slots and all, as a snapshot or another replica gives it. Slots may be
  // empty: their initial values. With `only_absent`, a row that is there stays. Throws
  // Error{kInvalidArgument} when it has another length.
  void assign(const RowView& row, bool only_absent = false);
  void assign_waiting(const WaitingKey& key);
  // Forgets a row, or all, and what waits.
  void erase(int64_t key);
  void clear();

  // Removes what the policy allows at this step: rows and waiting keys older than max_age; when
  // there are more rows than max_rows, or on command, those pushed less than min_frequency times;
  // and of what is still too many the least frequent (of equal ones the oldest, then the smallest
  // key). Which ones depends on the rows only. Returns how many rows went.
  int64_t evict(int64_t step, bool on_command = false);

  // A consistent view of the rows as they are now, while pushes go on: what is about to change is
  // copied first. At most one is open at a time, until it is destroyed. Other threads may call the
  // functions of an open snapshot, and destroy it, while the owner goes on; it outlives the shard.
  class Snapshot {
   public:
    virtual ~Snapshot() = default;
    // Weights as of the cut; keys that had no row then: their initial value.
    virtual void pull(std::span<const int64_t> keys, float* rows) const = 0;
    // Calls `visit` for each row in the order of keys; `changed_since`: only those with a version
    // greater than this (incremental). The spans are valid during the call.
    virtual void for_each(const std::function<void(const RowView&)>& visit,
                          int64_t changed_since = -1) const = 0;
    virtual int64_t rows() const = 0;
    // The keys that waited, in their order.
    virtual void for_each_waiting(const std::function<void(const WaitingKey&)>& visit) const = 0;
  };
  std::unique_ptr<Snapshot> open_snapshot();

  // Calls `visit` for each row, in no order; the owner's thread.
  void for_each(const std::function<void(const RowView&)>& visit) const;
  void for_each_waiting(const std::function<void(const WaitingKey&)>& visit) const;
  ShardStatistics statistics() const;
  // As statistics() says, without walking the rows.
  int64_t rows() const;
  int64_t bytes() const;
  const TableSpec& spec() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::ps
