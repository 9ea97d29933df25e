// How a slot's backup gets what came before it, and what comes.
#include <algorithm>

#include "core/base/logging.h"
#include "proto/ps_state.pb.h"
#include "ps/server/row_batch.h"
#include "ps/server/shard_pieces.h"
#include "ps/server/slot.h"

namespace trireme::ps {

// ---- the state besides the rows

std::string Slot::save_state(const ShardSet& shards, bool with_held) const {
  proto::SlotState state;
  if (setup_ != nullptr) state.mutable_setup()->ParseFromString(setup_->bytes);
  ledger_.save(state, shard_count());
  gate_.save(state, shard_count());
  state.set_index(log_.index());
  state.set_newest_step(newest_step_);
  state.set_trained(trained_);
  state.set_has_shards(true);
  state.set_shards(pack_shards(shards, shard_count()));
  state.set_frozen(pack_shards(members_.frozen() & shards, shard_count()));
  if (with_held) {
    gate_.for_each_held([&](const Contribution& held) {
      const auto bytes = part_of_push(*held.push, held.shards, *setup_);
      state.add_held(bytes.data(), bytes.size());
    });
  }
  return state.SerializeAsString();
}

void Slot::load_state(const CheckedState& checked, Dispatch& dispatch) {
  const proto::SlotState& state = *checked.state;
  if (checked.setup != nullptr) require_shards(*checked.setup);
  lists_.clear();
  auto held = checked.setup == nullptr
                  ? std::vector<std::shared_ptr<Push>>()
                  : held_again({state.held().begin(), state.held().end()}, *checked.setup);
  // From here on nothing throws: a state is taken whole or not at all.
  setup_.reset();
  const ShardSet owned =
      state.has_shards() ? unpack_shards(state.shards(), shard_count()) : options_.shards;
  members_.load(owned, unpack_shards(state.frozen(), shard_count()));
  ledger_ = WorkerLedger(0, owned);
  gate_ = Gate(0, owned);
  if (checked.setup != nullptr) {
    do_setup(checked.setup, dispatch);
    ledger_.load(state, shard_count());
    gate_.load(state, shard_count());
    hold(std::move(held), owned);
  }
  log_.set_index(state.index());
  newest_step_ = state.newest_step();
  trained_ = state.trained();
}

std::vector<std::shared_ptr<Push>> Slot::held_again(const std::vector<std::string>& requests,
                                                    const JobSetup& setup) {
  std::vector<std::shared_ptr<Push>> pushes;
  for (const std::string& request : requests) {
    const Message message = bytes_of(std::string_view(request));
    pushes.push_back(make_push(message, parse_request(message, setup.tables, setup.shards), setup));
  }
  return pushes;
}

void Slot::hold(std::vector<std::shared_ptr<Push>> pushes, const ShardSet& shards) {
  for (auto& push : pushes) {
    const ShardSet its = unpack_shards(push->header.shards, shard_count()) & shards;
    if (its.any()) gate_.hold(std::move(push), its);
  }
}

void Slot::restore_state(std::string_view serialized_state, bool found) {
  const auto checked =
      found ? checked_state(serialized_state, EntrySource::kFile, options_.ops) : CheckedState{};
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (found) {
    load_state(checked, dispatch);
    members_.thaw_all();
  }
  restored_step_ = finished();
  restoring_ = true;
  unloaded_.reset();
  dispatch.post();
}

void Slot::note_lost_steps(int64_t step) {
  if (!restored_step_ || step <= 0) return;
  const int64_t restored = *restored_step_;
  restored_step_.reset();
  if (step <= restored) return;
  log_warning(str_cat("slot ", options_.index, " was restored at step ", restored,
                      ", the job is at step ", step, ": ", step - restored,
                      " steps of its rows are lost"));
}

// ---- the primary's side

LogEntry Slot::entry_of(EntryKind kind, const Push& push, int64_t index) const {
  LogEntry entry{.header = {.kind = kind, .index = index}, .body = push.message};
  // A backup need not have seen the lists that are only named.
  for (const Push::Section& section : push.sections) {
    if (section.has_keys) continue;
    entry.keys.push_back({section.list, std::as_bytes(std::span(section.list->keys))});
  }
  return entry;
}

void Slot::attach(LogSink& sink) {
  MutexLock lock(mutex_);
  TRIREME_CHECK(!log_.is_replicated(), "slot ", options_.index, " has a backup");
  log_.attach(sink);
  log_.replicate({.header = {.kind = EntryKind::kState, .index = log_.index()},
                  .body = bytes_of(save_state(members_.owned(), false))});
  gate_.for_each_held([&](const Contribution& held) {
    log_.replicate(entry_of(EntryKind::kHeld, *held.push,
                            static_cast<int64_t>(pack_shards(held.shards, shard_count()))));
  });
}

void Slot::wait_for_backup(const LogSink* sink) {
  MutexLock lock(mutex_);
  log_.wait_for_backup(sink);
}

void Slot::backup_has(int64_t index, const LogSink* sink) {
  SlotLog::Acks acks;
  {
    MutexLock lock(mutex_);
    acks = log_.backup_has(index, sink);
  }
  for (const auto& ack : acks) ack->arrive();
}

void Slot::detach(bool hold) {
  SlotLog::Acks acks;
  {
    MutexLock lock(mutex_);
    acks = log_.detach(hold);
  }
  if (hold) return;
  backup_room_.store(std::numeric_limits<int64_t>::max());
  for (const auto& ack : acks) ack->arrive();
}

void Slot::export_shard(int shard, std::function<void(std::vector<LogEntry>)> done) {
  const auto entries = std::make_shared<std::vector<LogEntry>>();
  ShardSet set;
  set.set(static_cast<size_t>(shard));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  // The job comes behind the work of all entries up to this one.
  const auto copy = [entries, index = log_.index()](Shard& from, int number) {
    copy_rows(from, number, EntryKind::kShardRows, EntryKind::kShardWaiting, *entries);
    entries->push_back(
        {.header = {.kind = EntryKind::kShardLoaded, .shard = number, .index = index}});
  };
  dispatch.add(make_job(shards_, set, kReads, copy,
                        [entries, done = std::move(done)] { done(std::move(*entries)); }));
  dispatch.post();
}

// ---- the backup's side

int64_t Slot::attempt() const {
  MutexLock lock(mutex_);
  return attempt_;
}

void Slot::follow_epoch(int64_t epoch) {
  MutexLock lock(mutex_);
  known_epoch_ = epoch;
}

Slot::Receipt Slot::apply(const ReceivedEntry& received, std::function<void()> applied) {
  const EntryHeader& header = received.header;
  const auto ack = std::make_shared<Ack>([applied = std::move(applied)](bool) { applied(); });
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (primary_ || header.epoch < epoch_ || header.attempt < attempt_) return Receipt::kOutdated;
  // The view that says so may be on its way.
  if (header.epoch > known_epoch_) return Receipt::kMissing;
  const bool begins = header.kind == EntryKind::kState && header.attempt > attempt_;
  if (header.attempt != attempt_ && !begins) return Receipt::kMissing;
  if (!begins && header.position > position_ + 1) return Receipt::kMissing;
  if (begins || header.position == position_ + 1) {
    const LogEntry entry{.header = header, .body = received.body};
    const Request request =
        check_entry(received, setup_.get(), EntrySource::kPrimary, options_.ops);
    check_order(header, begins);
    switch (header.kind) {
      case EntryKind::kPush:
      case EntryKind::kHeld: {
        auto push = make_push(received.body, request, *setup_, received.keys);
        if (push == nullptr) {
          throw invalid_argument("slot ", options_.index, ": expected the keys of all lists of ",
                                 "the push in entry ", header.position, ", found only an id");
        }
        const bool held = header.kind == EntryKind::kHeld;
        if (!held) ledger_.check(push->header);
        if (setup_->any_sync) gate_.check(push->header);
        if (held) {
          gate_.hold(
              std::move(push),
              unpack_shards(static_cast<uint64_t>(header.index), shard_count()) & members_.owned());
          break;
        }
        log_.set_index(header.index);
        enter_push(std::move(push), header.index, ack, dispatch);
        break;
      }
      case EntryKind::kState:
      case EntryKind::kShardRows:
      case EntryKind::kShardWaiting:
      case EntryKind::kShardLoaded:
        do_catch_up(entry, ack, dispatch);
        break;
      default:
        do_entry(entry, ack, dispatch);
        log_.set_index(header.index);
    }
    position_ = header.position;
    epoch_ = header.epoch;
    attempt_ = header.attempt;
  }
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
  return Receipt::kTaken;
}

void Slot::require_shards(const JobSetup& setup) const {
  if (setup.shards.shards() == shard_count()) return;
  throw invalid_argument("slot ", options_.index, ": expected a setup of a job with ",
                         shard_count(), " virtual shards, as ", options_.servers,
                         " servers have, found ", setup.shards.shards(),
                         "; give all tasks the same number of servers");
}

// That it is the next entry, of the log and of its attempt.
void Slot::check_order(const EntryHeader& header, bool begins) const {
  const auto refuse = [&](const char* name, int64_t expected, int64_t found) {
    throw invalid_argument("slot ", options_.index, ": expected ", name, " ", expected,
                           " in an entry from the primary of epoch ", header.epoch, ", found ",
                           found);
  };
  const int64_t last = ((header.epoch + 1) << kAttemptBits) - 1;
  if (header.attempt > last) refuse("an attempt up to", last, header.attempt);
  if (begins && header.position != 1) refuse("position", 1, header.position);
  if (!begins && header.kind == EntryKind::kState) refuse("attempt", attempt_ + 1, attempt_);
  const bool is_of_log = header.kind < EntryKind::kState;
  if (is_of_log && header.index != log_.index() + 1)
    refuse("index", log_.index() + 1, header.index);
  if (header.kind == EntryKind::kShardLoaded && header.index > log_.index()) {
    refuse("an index up to", log_.index(), header.index);
  }
}

void Slot::do_catch_up(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const EntryHeader& header = entry.header;
  const auto job = [&](ShardSet shards, std::function<void(Shard&, int)> apply) {
    add(make_job(shards_, shards, 0, std::move(apply), arrival(ack)), ack, dispatch);
  };
  if (header.kind == EntryKind::kState) {
    const CheckedState checked =
        checked_state(body_text(entry.body), EntrySource::kPrimary, options_.ops);
    // Before the tables that a state brings; an error that comes now drops it.
    job(all_shards(shard_count()), [](Shard& shard, int) {
      shard.tables.clear();
      shard.deferred.clear();
      shard.loaded = false;
      shard.cut = 0;
    });
    load_state(checked, dispatch);
    unloaded_ = all_shards(shard_count());
    return;
  }
  ShardSet set;
  set.set(static_cast<size_t>(header.shard));
  if (header.kind == EntryKind::kShardLoaded) {
    unloaded_ -= set;
    return job(set, [index = header.index](Shard& shard, int) {
      shard.loaded = true;
      shard.cut = index;
    });
  }
  job(set, [body = entry.body, table = static_cast<size_t>(header.table),
            waiting = header.kind == EntryKind::kShardWaiting](Shard& shard, int) {
    if (shard.loaded) return;
    TableShard& rows = *shard.tables.at(table);
    if (waiting) {
      for (const WaitingKey& key : waiting_keys_of(body)) rows.assign_waiting(key);
      return;
    }
    for_each_row(body, rows.spec(), [&](const RowView& row) { rows.assign(row); });
  });
}

}  // namespace trireme::ps
