// Virtual shards that go from slot to slot.
#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/directory.h"

namespace trireme {
namespace {

constexpr size_t kMostOutcomes = 1024;

size_t at(int index) { return static_cast<size_t>(index); }

}  // namespace

bool Directory::is_whole(int slot) const {
  const SlotEntry& entry = view_.slots[at(slot)];
  return entry.primary >= 0 && (job_->replicas < 2 || (entry.backup >= 0 && entry.backup_in_sync));
}

bool Directory::has_room(int slot) const {
  return std::ssize(view_.slot_of_shard) <= directory_shards(1) ||
         std::ranges::count(view_.slot_of_shard, slot) < kMostShardsInSlot;
}

int64_t Directory::move_shard(int shard, int to) {
  if (view_.number == 0) {
    throw Error(ErrorCode::kUnavailable,
                "not all parameter servers of the job have come: nothing can move yet");
  }
  if (shard < 0 || at(shard) >= view_.slot_of_shard.size()) {
    throw invalid_argument("there is no virtual shard ", shard, ": expected 0 to ",
                           view_.slot_of_shard.size() - 1);
  }
  if (to < 0 || at(to) >= view_.slots.size()) {
    throw invalid_argument("there is no slot ", to, ": expected 0 to ", view_.slots.size() - 1);
  }
  wanted_.push_back({.ticket = ++tickets_, .shard = shard, .to = to});
  start_move();
  return tickets_;
}

std::optional<std::string> Directory::outcome(int64_t ticket) const {
  const auto it = outcomes_.find(ticket);
  if (it == outcomes_.end()) return std::nullopt;
  return it->second;
}

void Directory::forget_move(int64_t ticket) {
  const auto it = std::ranges::find(wanted_, ticket, &WantedMove::ticket);
  if (it == wanted_.end()) return;
  if (it == wanted_.begin() && view_.move) {
    stop_move("it was given up");
  } else {
    wanted_.erase(it);
  }
  start_move();
}

void Directory::start_move() {
  while (!view_.move && !wanted_.empty()) {
    const WantedMove& next = wanted_.front();
    const int from = view_.slot_of_shard[at(next.shard)];
    if (from == next.to) {
      outcomes_[next.ticket] = "";
      wanted_.pop_front();
      continue;
    }
    if (!has_room(next.to)) {
      outcomes_[next.ticket] = str_cat("slot ", next.to, " has ", kMostShardsInSlot,
                                       " virtual shards, as many as it may in a job of ",
                                       view_.servers.size(), " servers");
      wanted_.pop_front();
      continue;
    }
    if (!is_whole(from) || !is_whole(next.to)) return;
    view_.move = {.shard = next.shard, .from = from, .to = next.to, .id = ++moves_};
    changed();
  }
  while (outcomes_.size() > kMostOutcomes) outcomes_.erase(outcomes_.begin());
}

void Directory::stop_move(const std::string& error) {
  outcomes_[wanted_.front().ticket] = error;
  wanted_.pop_front();
  view_.move.reset();
  changed();
}

void Directory::shard_moved(int index, uint64_t incarnation, int64_t id, const std::string& error) {
  if (!is_alive(index, incarnation) || !view_.move || view_.move->id != id ||
      view_.slots[at(view_.move->from)].primary != index) {
    return;
  }
  const ShardMove move = *view_.move;
  if (!error.empty()) {
    log_.push_back(
        str_cat("virtual shard ", move.shard, " stays in slot ", move.from, ": ", error));
    stop_move(error);
  } else if (!is_whole(move.to)) {
    // It would be there on one server only.
    view_.move.reset();
    changed();
  } else {
    view_.slot_of_shard[at(move.shard)] = move.to;
    log_.push_back(str_cat("virtual shard ", move.shard, " has gone from slot ", move.from,
                           " to slot ", move.to));
    stop_move("");
  }
  start_move();
}

}  // namespace trireme
