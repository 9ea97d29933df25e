#include "ps/server/slot_hosts.h"

#include "core/base/logging.h"
#include "ps/server/restore.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {

std::shared_ptr<Slot> SlotHosts::find(int slot) const {
  MutexLock lock(mutex_);
  const auto it = present_.find(slot);
  return it == present_.end() ? nullptr : it->second.slot;
}

std::map<int, SlotHosts::Present> SlotHosts::all() const {
  MutexLock lock(mutex_);
  return present_;
}

// ---- views

void SlotHosts::follow(const ServerView& view) {
  if (view.number <= view_number_.load()) return;
  const auto me = static_cast<size_t>(options_.server);
  // A view of the time before this start of the task.
  if (me >= view.servers.size() || view.servers[me].incarnation != options_.incarnation) return;
  view_ = view;
  for (int slot = 0; slot < static_cast<int>(view.slots.size()); ++slot) follow_slot(slot);
  // Last, so that nobody who knows of the view is answered before it is followed.
  view_number_ = view.number;
}

void SlotHosts::follow_slot(int index) {
  const SlotEntry& entry = view_.slots[static_cast<size_t>(index)];
  if (entry.primary == options_.server) return lead(index, entry);
  const auto it = hosts_.find(index);
  // Who was the primary may have entries that the next one never got.
  if (it != hosts_.end() && (it->second.primary || entry.backup != options_.server)) drop(index);
  if (entry.backup == options_.server) {
    Host& backup = host(index, entry.epoch);
    backup.epoch = entry.epoch;
    backup.slot->follow_epoch(entry.epoch);
  }
}

SlotHosts::Host& SlotHosts::host(int index, int64_t epoch) {
  Host& host = hosts_[index];
  if (host.slot != nullptr) return host;
  host.slot = std::make_shared<Slot>(
      SlotOptions{.index = index,
                  .epoch = epoch,
                  .shards = shards_of(index),
                  .servers = static_cast<int>(view_.slots.size()),
                  .session = view_.session,
                  .threads = options_.threads,
                  .budget = options_.budget,
                  .buffers = options_.buffers,
                  .view = view_number_,
                  .failed =
                      [failed = options_.failed, index](const Error& error) {
                        failed(Error(error.code(), str_cat("slot ", index, ": ", error.what())));
                      },
                  .lost_steps = [lost = options_.lost_steps, index](
                                    int64_t epoch, int64_t steps) { lost(index, epoch, steps); },
                  .ops = options_.ops});
  host.epoch = epoch;
  host.snapshot_due = Clock::now() + options_.snapshot_interval;
  MutexLock lock(mutex_);
  present_[index] = {host.slot, 0};
  return host;
}

ShardSet SlotHosts::shards_of(int slot) const {
  ShardSet shards;
  for (size_t shard = 0; shard < view_.slot_of_shard.size() && shard < shards.size(); ++shard) {
    if (view_.slot_of_shard[shard] == slot) shards.set(shard);
  }
  return shards;
}

void SlotHosts::drop(int index) {
  Host host = std::move(hosts_.at(index));
  hosts_.erase(index);
  {
    MutexLock lock(mutex_);
    present_.erase(index);
  }
  host.slot->resign();
  retire(host);
  // Its last work is waited for elsewhere.
  options_.background.post([slot = std::move(host.slot)] {});
}

// Its thread may be on the way to a server that does not answer: nobody waits for that.
void SlotHosts::retire(Host& host) {
  if (host.replicator == nullptr && host.mover == nullptr) return;
  if (host.replicator != nullptr) host.replicator->end();
  if (host.mover != nullptr) host.mover->end();
  retired_.push_back({host.slot, std::move(host.replicator), std::move(host.mover)});
}

void SlotHosts::lead(int index, const SlotEntry& entry) {
  const auto it = hosts_.find(index);
  SlotEntry now = entry;
  if (it != hosts_.end()) {
    const bool partial = !it->second.primary && !it->second.slot->is_complete();
    // Somebody else was the primary meanwhile, in a view that was left out.
    const bool outdated = it->second.primary && it->second.epoch != entry.epoch;
    if (partial || outdated) {
      log_error(str_cat("slot ", index, ": parameter server ", options_.server,
                        " is to be its primary and has ",
                        partial ? "not all of its rows" : "rows of an earlier time"));
      drop(index);
      now.restore = true;
    }
  }
  const bool is_new = !hosts_.contains(index);
  Host& host = this->host(index, entry.epoch);
  if (is_new) {
    begin(index, host, now);
  } else if (!host.primary) {
    // What this backup has is all that is left, if not all that was acknowledged.
    if (entry.restore) host.slot->restore_state("", false);
    host.slot->follow_map(shards_of(index), {}, -1);
    host.slot->promote(entry.epoch);
    log_info(str_cat("parameter server ", options_.server, " is the primary of slot ", index,
                     " now, at entry ", host.slot->last_index(), " of its log"));
  }
  host.primary = true;
  host.epoch = entry.epoch;
  follow_map(index, host);
  set_backup(index, host, entry);
}

// Which shards are this slot's, and which is on its way.
void SlotHosts::follow_map(int index, Host& host) {
  const auto& move = view_.move;
  const bool comes = move && move->to == index, goes = move && move->from == index;
  host.slot->follow_map(shards_of(index),
                        comes ? Slot::Arrival{move->shard, move->id} : Slot::Arrival{},
                        goes ? move->shard : -1);
  if (goes && host.slot->is_primary() && host.move != move->id) {
    if (host.mover != nullptr) {
      host.mover->end();
      retired_.push_back({host.slot, nullptr, std::move(host.mover)});
    }
    host.move = move->id;
    const SlotEntry& to = view_.slots[static_cast<size_t>(move->to)];
    const ServerEntry& server = view_.servers[static_cast<size_t>(std::max(0, to.primary))];
    host.mover = std::make_unique<ShardMover>(
        host.slot, ShardMoverOptions{.connect = {.address = server.address,
                                                 .secret = options_.secret,
                                                 .encryption = options_.encryption,
                                                 .job_id = options_.job_id,
                                                 .name = str_cat("ps ", server.index)},
                                     .shard = move->shard,
                                     .to = move->to,
                                     .to_epoch = to.epoch,
                                     .move = move->id,
                                     .view = view_number_,
                                     .done = [moved = options_.shard_moved, id = move->id](
                                                 const std::string& error) { moved(id, error); }});
  } else if (!goes && host.mover != nullptr) {
    host.mover->end();
    retired_.push_back({host.slot, nullptr, std::move(host.mover)});
  }
}

// With the last piece the shard is on this server alone: it goes into a file first, where slots are
// restored from files.
void SlotHosts::receive_move(const std::shared_ptr<Slot>& slot, const ReceivedEntry& entry,
                             const std::shared_ptr<Responder>& responder) {
  const auto& view = view_number_;
  const auto answer = [responder, &view](bool ok) {
    responder->answer(plain_answer(ok ? AnswerCode::kOk : AnswerCode::kWrongView, view.load()));
  };
  const auto take = [entry, answer](Slot& to) {
    if (to.receive_move(entry, answer) != Slot::Receipt::kTaken) answer(false);
  };
  if (entry.header.kind != EntryKind::kArrive || options_.snapshot_directory.empty()) {
    return take(*slot);
  }
  if (slot->setup() == nullptr) return answer(false);
  slot->check_move(entry);
  // Weak: a slot must not end on one of its threads.
  const auto write = [take, answer, responder, &view, weak = std::weak_ptr<Slot>(slot),
                      directory = options_.snapshot_directory](const Cut& cut) {
    const auto to = weak.lock();
    if (to == nullptr) return answer(false);
    try {
      const auto shard = static_cast<int>(cut.shards.first());
      write_snapshot(cut, arrival_bundle(directory, to->index(), shard), -1);
      take(*to);
    } catch (const std::exception& error) {
      responder->answer(
          error_answer(Error(ErrorCode::kResourceExhausted, error.what()), view.load()));
    }
  };
  slot->open_staged(
      entry.header.shard, std::string(body_text(entry.body)),
      [write, answer, &background = options_.background](const std::shared_ptr<const Cut>& cut) {
        if (cut == nullptr) return answer(false);
        background.post([write, cut] { write(*cut); });
      });
}

void SlotHosts::begin(int index, Host& host, const SlotEntry& entry) {
  if (!entry.restore) return host.slot->promote(entry.epoch);
  options_.background.post([slot = host.slot, epoch = entry.epoch, failed = options_.failed, index,
                            shards = shards_of(index), directory = options_.snapshot_directory,
                            session = view_.session, lost = options_.state_is_lost] {
    try {
      const std::string why = restore_newest(*slot, directory, session, shards);
      // Without its state nobody may be answered: a row that is not there reads as a new one.
      if (!why.empty()) return lost(index, epoch, why);
      slot->promote(epoch);
    } catch (const Error& error) {
      failed(Error(error.code(), str_cat("slot ", index, ": ", error.what())));
    } catch (const std::exception& error) {
      failed(Error(ErrorCode::kResourceExhausted, str_cat("slot ", index, ": ", error.what())));
    }
  });
}

void SlotHosts::set_backup(int index, Host& host, const SlotEntry& entry) {
  const uint64_t incarnation =
      entry.backup < 0 ? 0 : view_.servers[static_cast<size_t>(entry.backup)].incarnation;
  const bool same = host.replicator != nullptr && host.backup == entry.backup &&
                    host.backup_incarnation == incarnation;
  const bool again = same && host.forgotten->exchange(false);
  if (same && !again) {
    // A view in which it was not the backup may have been left out.
    if (!entry.backup_in_sync && host.replicator->is_in_sync()) {
      options_.in_sync(index, entry.epoch, incarnation);
    }
    return;
  }
  if (host.replicator != nullptr) {
    host.slot->detach(again);
    host.replicator->end();
    retired_.push_back({host.slot, std::move(host.replicator), nullptr});
  }
  host.backup = entry.backup;
  host.backup_incarnation = incarnation;
  // A primary that is still being restored gets its backup when it is through: see tick().
  if (entry.backup < 0 || !host.slot->is_primary()) return;
  const ServerEntry& server = view_.servers[static_cast<size_t>(entry.backup)];
  const int64_t obeyed = host.obeyed->exchange(0);
  if (obeyed >> kAttemptBits == entry.epoch) {
    attempts_ = std::max(attempts_, obeyed - (entry.epoch << kAttemptBits));
  }
  ReplicatorOptions options{
      .connect = {.address = server.address,
                  .secret = options_.secret,
                  .encryption = options_.encryption,
                  .job_id = options_.job_id,
                  .name = str_cat("ps ", server.index)},
      .epoch = entry.epoch,
      // Greater than that of any primary before, on whatever server.
      .attempt = (entry.epoch << kAttemptBits) + ++attempts_,
      .view = view_number_,
      .hold = again,
      .in_sync =
          [in_sync = options_.in_sync, index, epoch = entry.epoch, incarnation] {
            log_info(str_cat("slot ", index, ": the backup has all rows"));
            in_sync(index, epoch, incarnation);
          },
      .suspect = [suspect = options_.suspect, server = server.index] { suspect(server); },
      .forgotten =
          [forgotten = host.forgotten, obeyed = host.obeyed](int64_t attempt) {
            obeyed->store(attempt);
            forgotten->store(true);
          },
  };
  host.replicator = std::make_unique<Replicator>(*host.slot, std::move(options));
}

// ---- time

void SlotHosts::tick() {
  const auto now = Clock::now();
  std::erase_if(retired_, [](const Retired& retired) {
    return (retired.replicator == nullptr || retired.replicator->has_ended()) &&
           (retired.mover == nullptr || retired.mover->has_ended());
  });
  for (auto& [index, host] : hosts_) {
    host.slot->tick(now);
    const bool is_primary = host.slot->is_primary();
    // One that was being restored may have more to do.
    if (is_primary) follow_map(index, host);
    const bool wants_backup = host.replicator == nullptr || host.forgotten->load();
    if (is_primary && host.backup >= 0 && wants_backup) {
      set_backup(index, host, view_.slots[static_cast<size_t>(index)]);
    }
    const int64_t lag = host.replicator == nullptr ? 0 : host.replicator->queued();
    const bool saves = !options_.snapshot_directory.empty();
    if (saves && is_primary && now >= host.snapshot_due) save(index, host);
    MutexLock lock(mutex_);
    present_[index].backup_lag = lag;
  }
}

void SlotHosts::save(int index, Host& host) {
  const int64_t last = host.slot->last_index();
  if (host.saving->load() || last == host.snapshot_index || !host.slot->is_trained()) return;
  host.saving->store(true);
  host.snapshot_index = last;
  host.snapshot_due = Clock::now() + options_.snapshot_interval;
  Slot& slot = *host.slot;
  const auto write = [weak = std::weak_ptr<Slot>(host.slot), index, saving = host.saving,
                      directory =
                          options_.snapshot_directory](const std::shared_ptr<const Cut>& cut) {
    const auto owner = weak.lock();
    if (owner == nullptr) return;
    try {
      const std::string bundle = next_snapshot(directory, index);
      write_snapshot(*cut, bundle, -1);
      remove_old_snapshots(directory, index, bundle);
    } catch (const std::exception& error) {
      log_error(
          str_cat("slot ", index, ": no snapshot could be written: ", error.what(),
                  "; should its server die now, what was trained since the last one is lost"));
    }
    owner->end_use();
    saving->store(false);
  };
  slot.open_cut([&slot, &background = options_.background, write,
                 saving = host.saving](const std::shared_ptr<const Cut>& cut) {
    if (cut == nullptr) return saving->store(false);
    slot.use_cut(cut->id);
    slot.close_cut(cut->id);  // as soon as nobody uses it
    background.post([write, cut] { write(cut); });
  });
}

void SlotHosts::resign() {
  for (auto& [index, host] : hosts_) {
    host.slot->resign();
    host.mover.reset();
    host.replicator.reset();
  }
  retired_.clear();
}

void SlotHosts::clear() {
  {
    MutexLock lock(mutex_);
    present_.clear();
  }
  hosts_.clear();
}

}  // namespace trireme::ps
