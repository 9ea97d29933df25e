// Which pushes of which worker a slot has: so that each counts once, and to know how far each
// worker is.
//
// It is kept by virtual shard, since one that comes from another slot has had other pushes than
// those that are here: a push is here when all of the slot's shards have it.
//
// Part of a slot's replicated state: what it holds depends on the log alone. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ps/protocol/wire.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

namespace proto {
class SlotState;
}

class WorkerLedger {
 public:
  // `shards`: of the slot.
  explicit WorkerLedger(int workers = 0, ShardSet shards = all_shards(kVirtualShards))
      : workers_(static_cast<size_t>(workers)), shards_(shards) {}

  int workers() const { return static_cast<int>(workers_.size()); }

  // Do these shards have this push already, and if so, was it dropped?
  enum class Known { kNo, kYes, kDropped };
  Known knows(const RequestHeader& push, const ShardSet& shards) const;
  // Those of `shards` that do not have it.
  ShardSet lacking(const RequestHeader& push, const ShardSet& shards) const;
  // Throws Error{kInvalidArgument} for a worker or a part that cannot be, kCancelled when the
  // worker was replaced by a later incarnation.
  void check(const RequestHeader& push) const;
  // Enters a push for `shards`. REQUIRES: check() and knows() had nothing against it.
  void record(const RequestHeader& push, const ShardSet& shards);
  void mark_dropped(const RequestHeader& push);

  // This worker's pushes up to `step` are here or are lost: nobody waits for them.
  void raise(int worker, int64_t step);
  // All workers go on behind this step: what a checkpoint of it contains.
  void restart(int64_t step);

  // A shard comes, with the ledger of the slot that it was in; null: it has what the others have.
  // What only some of them have is waited for again.
  void arrive(int shard, const WorkerLedger* source);
  void leave(int shard);

  // All parts of all steps up to this one are here; nothing when the worker has not been heard of.
  std::optional<int64_t> clock(int worker) const;
  bool has(int worker, int64_t step, int part) const;
  uint64_t last_sequence(int worker) const;  // all up to it are here
  // The clock of the `nth` fastest worker, from 1.
  std::optional<int64_t> nth_clock(int nth) const;
  // What comes before the first step that any worker pushed.
  std::optional<int64_t> first() const { return first_; }
  int parts() const;  // of each step; 1 when nothing was pushed yet
  // The clock of the slowest; those that have not been heard of are at first(), or at `otherwise`.
  int64_t slowest(int64_t otherwise) const;
  // "worker 1 (step 4), worker 3 (step 5)": those whose clock is less than `step`.
  std::string behind(int64_t step, int64_t otherwise) const;

  // `shards`: that the job has.
  void save(proto::SlotState& state, int shards) const;
  void load(const proto::SlotState& state, int shards);

 private:
  struct Step {
    int parts = 1;
    std::set<int> here;
  };
  struct Worker {
    uint64_t incarnation = 0;
    std::vector<uint64_t> retired;
    uint64_t floor = 0;                  // all shards have all sequences up to it
    std::map<uint64_t, ShardSet> above;  // the shards that have one
    std::set<uint64_t> dropped;
    std::optional<int64_t> clock;
    int parts = 0;  // of each step: sequences count on through steps of as many; 0: none came yet
    std::map<int64_t, Step> steps;  // after the clock

    void advance(const ShardSet& all);
    void find_steps(const ShardSet& all);  // anew, of what is above the clock
  };
  ShardSet kept(const ShardSet& has, int shards) const;
  const Worker& at(int worker) const { return workers_[static_cast<size_t>(worker)]; }
  static void merge(int shard, Worker source, const ShardSet& before, int64_t first, Worker& to);

  std::vector<Worker> workers_;
  ShardSet shards_;
  std::optional<int64_t> first_;
};

// What comes before the first step that is heard of: a job counts from 1, one that was resumed
// begins anywhere. Step 2 may overtake step 1.
inline int64_t before_first_step(int64_t step) { return step <= 2 ? 0 : step - 1; }

}  // namespace trireme::ps
