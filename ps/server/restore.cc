#include "ps/server/restore.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "core/base/logging.h"
#include "core/io/tensor_bundle.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {
namespace {

// Batches that are on their way into the slot, at most so many.
class Feed {
 public:
  explicit Feed(const Slot& slot) : slot_(slot) {}

  Slot::Done begin() {
    MutexLock lock(state_->mutex);
    wait_below(kMost);
    ++state_->under_way;
    return [state = state_](bool ok) {
      MutexLock done(state->mutex);
      --state->under_way;
      state->failed = state->failed || !ok;
      state->changed.notify_all();
    };
  }
  void finish() {
    MutexLock lock(state_->mutex);
    wait_below(1);
  }

 private:
  static constexpr int kMost = 16;
  static constexpr std::chrono::seconds kPatience{60};
  struct State {
    Mutex mutex;
    ConditionVariable changed;
    int under_way GUARDED_BY(mutex) = 0;
    bool failed GUARDED_BY(mutex) = false;
  };

  void wait_below(int count) REQUIRES(state_->mutex) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!state_->failed && state_->under_way >= count) {
      if (state_->changed.wait_until(state_->mutex, deadline)) continue;
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("slot ", slot_.index(), ": rows of a checkpoint were not taken within ",
                          kPatience.count(), " s; its backup may be stuck"));
    }
    if (state_->failed) {
      throw Error(ErrorCode::kUnavailable,
                  str_cat("slot ", slot_.index(), " went to another server while a checkpoint was ",
                          "restored: restore it again"));
    }
  }

  const Slot& slot_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

void load_part(Slot& slot, const JobSetup& setup, const std::string& part, Feed& feed) {
  read_snapshot_rows(part, setup, slot.shard_set(),
                     [&](EntryKind kind, int shard, int table, Message batch) {
                       slot.load_rows(kind, shard, table, std::move(batch), feed.begin());
                     });
}

// Keeps shards where they are.
class Hold {
 public:
  explicit Hold(Slot& slot) : slot_(slot) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!slot.begin_restore()) {
      if (std::chrono::steady_clock::now() >= deadline) {
        throw Error(ErrorCode::kDeadlineExceeded,
                    str_cat("slot ", slot.index(), ": a virtual shard has been on its way for ",
                            kPatience.count(), " s; restore the checkpoint when it is there"));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ~Hold() { slot_.end_restore(); }
  Hold(const Hold&) = delete;

 private:
  static constexpr std::chrono::seconds kPatience{60};
  Slot& slot_;
};

}  // namespace

Restored restore_checkpoint(Slot& slot, const std::string& prefix, int64_t step) {
  const auto setup = slot.setup();
  if (setup == nullptr) {
    throw not_found("slot ", slot.index(), " has not been told the job's tables: expected a setup ",
                    "before ", prefix, " is restored");
  }
  const Hold hold(slot);
  const io::PartsManifest manifest = verify_checkpoint(prefix, step, false);
  std::vector<std::string> parts;
  // The workers go on behind the checkpoint's step. With backup workers SYNC tables may have more
  // steps, which were taken without worker 0: they are not taken again.
  int64_t reached = manifest.step;
  for (const io::CheckpointPart& part : manifest.parts) {
    parts.push_back((std::filesystem::path(io::directory_of(prefix)) / part.name).string());
    if (setup->any_sync) reached = std::max(reached, read_snapshot_head(parts.back()).step);
  }
  Feed feed(slot);
  slot.clear(reached, manifest.changed_since >= 0, feed.begin());
  for (const std::string& part : parts) load_part(slot, *setup, part, feed);
  feed.finish();
  return {reached, slot.shard_set()};
}

namespace {

// Shards that came after the last snapshot.
void restore_arrivals(Slot& slot, const std::string& directory, const std::string& session,
                      const ShardSet& shards) {
  const ShardSet missing = shards - slot.shard_set();
  for (int shard = 0; shard < slot.shard_count(); ++shard) {
    const std::string bundle = arrival_bundle(directory, slot.index(), shard);
    if (!missing[static_cast<size_t>(shard)] || !std::filesystem::exists(io::index_path(bundle))) {
      continue;
    }
    const auto setup = slot.setup();
    if (setup == nullptr) return;
    const SnapshotHead head = read_snapshot_head(bundle);
    if (head.session != session) continue;
    Feed feed(slot);
    slot.load_arrival({.header = {.kind = EntryKind::kStage, .shard = shard}, .body = {}},
                      feed.begin());
    read_snapshot_rows(bundle, *setup, only(shard),
                       [&](EntryKind kind, int number, int table, Message batch) {
                         slot.load_rows(kind, number, table, std::move(batch), feed.begin());
                       });
    slot.load_arrival({.header = {.kind = EntryKind::kArrive, .shard = shard},
                       .body = bytes_of(std::string_view(head.state))},
                      feed.begin());
    feed.finish();
    log_warning(str_cat("slot ", slot.index(), ": virtual shard ", shard,
                        " begins as it was when it came from another slot"));
  }
}

}  // namespace

std::string restore_newest(Slot& slot, const std::string& directory, const std::string& session,
                           const ShardSet& shards) {
  if (directory.empty()) return "it has neither another replica nor snapshots";
  std::string why = str_cat("there is no snapshot of it in ", directory);
  for (const std::string& bundle : snapshots_of(directory, slot.index())) {
    try {
      const SnapshotHead head = read_snapshot_head(bundle);
      if (head.session != session) continue;
      slot.restore_state(head.state, true);
      Feed feed(slot);
      if (const auto setup = slot.setup()) load_part(slot, *setup, bundle, feed);
      feed.finish();
      restore_arrivals(slot, directory, session, shards);
      const ShardSet missing = shards - slot.shard_set();
      if (missing.any()) {
        return str_cat(bundle, " lacks virtual shard ", missing.first());
      }
      log_warning(str_cat("slot ", slot.index(), " begins from its snapshot ", bundle, ", of step ",
                          head.step));
      return "";
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDataLoss && error.code() != ErrorCode::kNotFound) throw;
      why = error.what();
      log_warning(str_cat("slot ", slot.index(), ": a snapshot is of no use: ", why));
      // Of the one before there must be nothing but its own rows.
      Feed feed(slot);
      slot.clear(0, false, feed.begin());
      feed.finish();
    }
  }
  return why;
}

}  // namespace trireme::ps
