// How a virtual shard leaves a slot, and how one arrives.
#include "core/base/logging.h"
#include "proto/ps_state.pb.h"
#include "ps/server/row_batch.h"
#include "ps/server/shard_pieces.h"
#include "ps/server/slot.h"

namespace trireme::ps {
int64_t move_attempt(int64_t move, int64_t attempt) { return (move << kAttemptBits) + attempt; }

// ---- what the entries do

void Slot::do_leave(int shard, int64_t index, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  if (!members_.leave(shard)) return;
  ledger_.leave(shard);
  gate_.leave(shard);
  advance_gate(index, ack, dispatch);
}

void Slot::do_arrive(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const int shard = entry.header.shard;
  proto::ShardArrival arrival;
  const std::string_view bytes = body_text(entry.body);
  arrival.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  auto held = setup_ == nullptr
                  ? std::vector<std::shared_ptr<Push>>()
                  : held_again({arrival.held().begin(), arrival.held().end()}, *setup_);
  for (const auto& push : held) gate_.check(push->header);
  members_.arrive(shard);
  WorkerLedger ledger;
  Gate gate;
  if (arrival.has_state()) {
    ledger.load(arrival.state(), shard_count());
    gate.load(arrival.state(), shard_count());
    newest_step_ = std::max(newest_step_, arrival.state().newest_step());
  }
  ledger_.arrive(shard, arrival.has_state() ? &ledger : nullptr);
  gate_.arrive(shard, arrival.has_state() ? &gate : nullptr, ledger_);
  hold(std::move(held), only(shard));
  advance_gate(entry.header.index, ack, dispatch);
}

// ---- what the directory says

void Slot::follow_map(const ShardSet& mapped, const Arrival& arriving, int leaving) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  members_.follow(mapped, arriving);
  if (!primary_) return;
  for (const ShardMembership::Change& change : members_.changes(leaving)) {
    LogEntry entry{.header = {.kind = change.kind, .shard = change.shard}, .body = {}};
    if (change.kind == EntryKind::kArrive) {
      entry.body = bytes_of(std::string_view());
      log_error(str_cat("slot ", options_.index, ": virtual shard ", change.shard,
                        " is to be here and was in nothing that was left: it begins without rows"));
    }
    enter(std::move(entry), nullptr, dispatch);
  }
  serve_waiting(dispatch);
  dispatch.post();
}

bool Slot::begin_restore() {
  MutexLock lock(mutex_);
  return members_.begin_restore();
}

void Slot::end_restore() {
  MutexLock lock(mutex_);
  members_.end_restore();
}

// ---- the side that it leaves

void Slot::freeze(int shard, Done done) {
  const auto ack = std::make_shared<Ack>(std::move(done));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  const bool may_leave = primary_ && setup_ != nullptr && members_.may_leave(shard);
  if (!may_leave) return dispatch.then([ack] { ack->give_up(); });
  if (!members_.frozen()[static_cast<size_t>(shard)]) {
    enter({.header = {.kind = EntryKind::kFreeze, .shard = shard}, .body = {}}, ack, dispatch);
  } else {
    log_.acknowledge_after(log_.index(), ack);
  }
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
}

void Slot::export_move(int shard, std::function<void(std::vector<LogEntry>)> done) {
  const auto entries = std::make_shared<std::vector<LogEntry>>();
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (!primary_ || !members_.frozen()[static_cast<size_t>(shard)]) {
    return dispatch.then([done = std::move(done)] { done({}); });
  }
  proto::ShardArrival arrival;
  arrival.set_shard(shard);
  ledger_.save(*arrival.mutable_state(), shard_count());
  gate_.save(*arrival.mutable_state(), shard_count());
  arrival.mutable_state()->set_newest_step(newest_step_);
  gate_.for_each_held([&](const Contribution& held) {
    if (!held.shards[static_cast<size_t>(shard)]) return;
    const auto bytes = part_of_push(*held.push, only(shard), *setup_);
    arrival.add_held(bytes.data(), bytes.size());
  });
  const auto copy = [entries, state = arrival.SerializeAsString()](Shard& from, int number) {
    int64_t bytes = 0;
    for (const auto& table : from.tables) bytes += table->bytes();
    entries->push_back(
        {.header = {.kind = EntryKind::kStage, .shard = number, .index = bytes}, .body = {}});
    copy_rows(from, number, EntryKind::kRows, EntryKind::kWaiting, *entries);
    entries->push_back(
        {.header = {.kind = EntryKind::kArrive, .shard = number}, .body = bytes_of(state)});
  };
  dispatch.add(make_job(shards_, only(shard), kReads, copy,
                        [entries, done = std::move(done)] { done(std::move(*entries)); }));
  dispatch.post();
}

// ---- the side that it comes to

void Slot::check_move(const ReceivedEntry& received) const {
  check_entry(received, setup().get(), EntrySource::kMove, options_.ops);
}

Slot::Receipt Slot::receive_move(const ReceivedEntry& received, Done done) {
  const EntryHeader& header = received.header;
  const auto setup = this->setup();
  const bool begins = header.kind == EntryKind::kStage;
  if (setup == nullptr) return Receipt::kMissing;
  check_move(received);
  const auto ack = std::make_shared<Ack>(std::move(done));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (!primary_ || header.epoch != epoch_) return Receipt::kOutdated;
  // Its view may come later than the other's, and another attempt is under way.
  if (!members_.expects(header)) return Receipt::kMissing;
  if (begins && members_.is_new_attempt(header)) {
    const MemoryBudget& budget = options_.budget;
    const int64_t room = std::min(budget.limit() - budget.used() - budget.reserved(),
                                  backup_room_.load(std::memory_order_relaxed));
    if (header.index > room) {
      throw Error(ErrorCode::kResourceExhausted,
                  str_cat("slot ", options_.index, ": virtual shard ", header.shard, " has ",
                          header.index, " bytes, and the server or its backup has room for ", room,
                          "; raise the memory limit"));
    }
    members_.begin_attempt(header);
  }
  if (!members_.take(header)) return Receipt::kMissing;
  enter({.header = {.kind = header.kind, .shard = header.shard, .table = header.table},
         .body = received.body},
        ack, dispatch);
  serve_waiting(dispatch);
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
  return Receipt::kTaken;
}

void Slot::open_staged(int shard, std::string state,
                       std::function<void(std::shared_ptr<const Cut>)> done) {
  struct Staged : Cut {
    std::vector<std::unique_ptr<TableShard::Snapshot>> snapshots;
  };
  const auto cut = std::make_shared<Staged>();
  cut->session = options_.session;  // else no restore would take it up
  cut->shards = only(shard);
  cut->state = std::move(state);
  cut->tables.resize(static_cast<size_t>(shard_count()));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  // It was here before, and that time's cut is open still: a table has one at a time.
  const Cut* const other = cuts_.get();
  if (cuts_.is_opening() || (other != nullptr && other->shards.intersects(cut->shards))) {
    return dispatch.then([done = std::move(done)] { done(nullptr); });
  }
  cut->setup = setup_;
  cut->step = finished();
  const auto open = [cut](Shard& from, int number) {
    for (const auto& table : from.tables) {
      cut->snapshots.push_back(table->open_snapshot());
      cut->tables[static_cast<size_t>(number)].push_back(cut->snapshots.back().get());
    }
  };
  dispatch.add(
      make_job(shards_, cut->shards, kReads, open, [cut, done = std::move(done)] { done(cut); }));
  dispatch.post();
}

}  // namespace trireme::ps
