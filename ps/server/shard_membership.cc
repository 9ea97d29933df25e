#include "ps/server/shard_membership.h"

#include "ps/server/entry_check.h"

namespace trireme::ps {

void ShardMembership::load(const ShardSet& owned, const ShardSet& frozen) {
  owned_ = owned;
  frozen_ = frozen & owned;
}

void ShardMembership::freeze(int shard) { frozen_ |= only(shard); }
void ShardMembership::thaw(int shard) { frozen_ -= only(shard); }

bool ShardMembership::leave(int shard) {
  if (shard < 0 || shard >= count_ || !owned_[static_cast<size_t>(shard)]) return false;
  owned_ -= only(shard);
  frozen_ -= only(shard);
  return true;
}

void ShardMembership::arrive(int shard) {
  owned_ |= only(shard);
  frozen_ -= only(shard);
}

void ShardMembership::follow(const ShardSet& mapped, const Arrival& arriving) {
  mapped_ = mapped & all_shards(count_);
  arriving_ = arriving;
}

std::vector<ShardMembership::Change> ShardMembership::changes(int leaving) const {
  std::vector<Change> changes;
  for (int shard = 0; shard < count_; ++shard) {
    const auto number = static_cast<size_t>(shard);
    if (owned_[number] && !mapped_[number] && shard != arriving_.shard) {
      changes.push_back({EntryKind::kLeave, shard});
    } else if (frozen_[number] && shard != leaving) {
      changes.push_back({EntryKind::kThaw, shard});
    } else if (mapped_[number] && !owned_[number]) {
      changes.push_back({EntryKind::kArrive, shard});
    }
  }
  return changes;
}

bool ShardMembership::may_leave(int shard) const {
  return restores_ == 0 && present()[static_cast<size_t>(shard)];
}

bool ShardMembership::begin_restore() {
  if (frozen_.any() || arriving_.shard >= 0) return false;
  ++restores_;
  return true;
}

bool ShardMembership::expects(const EntryHeader& piece) const {
  return restores_ == 0 && piece.shard >= 0 && piece.shard == arriving_.shard &&
         piece.attempt >> kAttemptBits == arriving_.move;
}

void ShardMembership::begin_attempt(const EntryHeader& piece) {
  arrival_attempt_ = piece.attempt;
  arrival_position_ = 0;
}

bool ShardMembership::take(const EntryHeader& piece) {
  if (piece.attempt != arrival_attempt_ || piece.position != arrival_position_ + 1) return false;
  arrival_position_ = piece.position;
  return true;
}

}  // namespace trireme::ps
