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
  ledger_.save(state);
  gate_.save(state);
  state.set_index(index_);
  state.set_newest_step(newest_step_);
  state.set_trained(trained_);
  state.set_has_shards(true);
  state.set_shards(shards.to_ullong());
  state.set_frozen((frozen_ & shards).to_ullong());
  if (with_held) {
    gate_.for_each_held([&](const Contribution& held) {
      const auto bytes = part_of_push(*held.push, held.shards, *setup_);
      state.add_held(bytes.data(), bytes.size());
    });
  }
  return state.SerializeAsString();
}

void Slot::load_state(std::string_view bytes, Dispatch& dispatch) {
  proto::SlotState state;
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw data_loss("the state of slot ", options_.index, ": ", bytes.size(),
                    " bytes that are no such message");
  }
  setup_.reset();
  owned_ = state.has_shards() ? ShardSet(state.shards()) : options_.shards;
  frozen_ = ShardSet(state.frozen()) & owned_;
  if (state.has_setup()) {
    do_setup(state.setup().SerializeAsString(), dispatch);
    ledger_.load(state);
    gate_.load(state);
    for (const std::string& request : state.held()) hold_again(request, owned_);
  }
  index_ = state.index();
  newest_step_ = state.newest_step();
  trained_ = state.trained();
}

void Slot::restore_state(std::string_view serialized_state, bool found) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (found) {
    load_state(serialized_state, dispatch);
    frozen_.reset();
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
  TRIREME_CHECK(sink_ == nullptr, "slot ", options_.index, " has a backup");
  sink_ = &sink;
  // What came before was acknowledged without this backup, and is in its state when it counts;
  // unless it waits already, for this one as for the one before.
  backup_index_ = waits_for_backup_ ? 0 : index_;
  replicate({.header = {.kind = EntryKind::kState, .index = index_},
             .body = bytes_of(save_state(owned_, false))});
  gate_.for_each_held([&](const Contribution& held) {
    replicate(
        entry_of(EntryKind::kHeld, *held.push, static_cast<int64_t>(held.shards.to_ullong())));
  });
}

void Slot::wait_for_backup(const LogSink* sink) {
  MutexLock lock(mutex_);
  if (sink == sink_) waits_for_backup_ = true;
}

void Slot::backup_has(int64_t index, const LogSink* sink) {
  std::vector<std::shared_ptr<Ack>> acks;
  {
    MutexLock lock(mutex_);
    if (sink != sink_) return;
    backup_index_ = std::max(backup_index_, index);
    while (!unacknowledged_.empty() && unacknowledged_.front().first <= backup_index_) {
      acks.push_back(std::move(unacknowledged_.front().second));
      unacknowledged_.pop_front();
    }
  }
  for (const auto& ack : acks) ack->arrive();
}

void Slot::detach(bool hold) {
  std::vector<std::shared_ptr<Ack>> acks;
  {
    MutexLock lock(mutex_);
    sink_ = nullptr;
    if (hold) return;
    waits_for_backup_ = false;
    for (auto& [index, ack] : unacknowledged_) acks.push_back(std::move(ack));
    unacknowledged_.clear();
  }
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
  const auto copy = [entries, index = index_](Shard& from, int number) {
    copy_rows(from, number, EntryKind::kShardRows, EntryKind::kShardWaiting, *entries);
    entries->push_back(
        {.header = {.kind = EntryKind::kShardLoaded, .shard = number, .index = index}});
  };
  dispatch.add(make_job(shards_, set, kReads, copy,
                        [entries, done = std::move(done)] { done(std::move(*entries)); }));
  dispatch.post();
}

// ---- the backup's side

Slot::Receipt Slot::apply(const ReceivedEntry& received, std::function<void()> applied) {
  const EntryHeader& header = received.header;
  const auto ack = std::make_shared<Ack>([applied = std::move(applied)](bool) { applied(); });
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (primary_ || header.epoch < epoch_ || header.attempt < attempt_) return Receipt::kOutdated;
  const bool begins = header.kind == EntryKind::kState && header.attempt > attempt_;
  if (header.attempt != attempt_ && !begins) return Receipt::kMissing;
  if (!begins && header.position > position_ + 1) return Receipt::kMissing;
  if (begins || header.position == position_ + 1) {
    const LogEntry entry{.header = header, .body = received.body};
    switch (header.kind) {
      case EntryKind::kPush:
      case EntryKind::kHeld: {
        TRIREME_CHECK(setup_ != nullptr, "a push before the setup");
        const Request request = parse_request(received.body, setup_->tables, setup_->shards);
        auto push = make_push(received.body, request, *setup_, received.keys);
        TRIREME_CHECK(push != nullptr, "an entry without its keys");
        if (header.kind == EntryKind::kHeld) {
          gate_.hold(std::move(push), ShardSet(static_cast<uint64_t>(header.index)));
          break;
        }
        TRIREME_CHECK(header.index == index_ + 1, "entry ", header.index, " after ", index_);
        index_ = header.index;
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
        TRIREME_CHECK(header.index == index_ + 1, "entry ", header.index, " after ", index_);
        index_ = header.index;
        do_entry(entry, ack, dispatch);
    }
    position_ = header.position;
    epoch_ = header.epoch;
    attempt_ = header.attempt;
  }
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
  return Receipt::kTaken;
}

void Slot::do_catch_up(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const EntryHeader& header = entry.header;
  const auto job = [&](ShardSet shards, std::function<void(Shard&, int)> apply) {
    add(make_job(shards_, shards, 0, std::move(apply), arrival(ack)), ack, dispatch);
  };
  if (header.kind == EntryKind::kState) {
    unloaded_.set();
    lists_.clear();
    job(unloaded_, [](Shard& shard, int) {
      shard.tables.clear();
      shard.deferred.clear();
      shard.loaded = false;
      shard.cut = 0;
    });
    return load_state(body_text(entry.body), dispatch);
  }
  if (header.shard < 0 || header.shard >= kVirtualShards) {
    throw invalid_argument("an entry of a log: there is no virtual shard ", header.shard);
  }
  ShardSet set;
  set.set(static_cast<size_t>(header.shard));
  if (header.kind == EntryKind::kShardLoaded) {
    unloaded_ &= ~set;
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
