// Which virtual shards a slot has, and which come and go.
//
// What is owned and frozen follows from the slot's log; what is mapped, and what is on its way
// here, from the directory's view. Plain state: whoever owns it holds a lock.
#pragma once

#include <cstdint>
#include <vector>

#include "ps/server/log_entry.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

class ShardMembership {
 public:
  // A shard that is on its way here. −1: none.
  struct Arrival {
    int shard = -1;
    int64_t move = 0;  // its id
  };
  // What the log is to say so that it agrees with the view: kLeave, kThaw or kArrive.
  struct Change {
    EntryKind kind;
    int shard;
  };

  // `count`: virtual shards of the job.
  ShardMembership(const ShardSet& owned, int count)
      : count_(count), owned_(owned), mapped_(owned) {}

  // ---- by the log
  const ShardSet& owned() const { return owned_; }
  const ShardSet& frozen() const { return frozen_; }  // of those: nothing changes them
  void load(const ShardSet& owned, const ShardSet& frozen);
  void thaw_all() { frozen_.reset(); }
  void freeze(int shard);
  void thaw(int shard);
  bool leave(int shard);  // false: it is not here
  void arrive(int shard);

  // ---- by the directory's view
  // Those that this slot has and the view says that it has.
  ShardSet present() const { return owned_ & mapped_; }
  ShardSet unfrozen() const { return present() - frozen_; }
  void follow(const ShardSet& mapped, const Arrival& arriving);
  // `leaving`: the shard that is on its way from here; −1: none.
  std::vector<Change> changes(int leaving) const;

  // ---- moves
  bool may_leave(int shard) const;
  // A checkpoint is read: no shard may move. False: one does.
  bool begin_restore();
  void end_restore() { --restores_; }
  // Whether this is a piece of the shard that is on its way here.
  bool expects(const EntryHeader& piece) const;
  // Whether this attempt to move it is later than those before.
  bool is_new_attempt(const EntryHeader& piece) const { return piece.attempt > arrival_attempt_; }
  void begin_attempt(const EntryHeader& piece);
  // Takes a piece that is the next of its attempt; false: it is not.
  bool take(const EntryHeader& piece);

 private:
  const int count_;
  ShardSet owned_, frozen_, mapped_;
  Arrival arriving_;
  int64_t arrival_attempt_ = 0, arrival_position_ = 0;
  int restores_ = 0;  // that are under way
};

}  // namespace trireme::ps
