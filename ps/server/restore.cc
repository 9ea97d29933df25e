#include "ps/server/restore.h"

#include "core/base/logging.h"
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

}  // namespace

int64_t restore_checkpoint(Slot& slot, const std::string& prefix) {
  const auto setup = slot.setup();
  if (setup == nullptr) {
    throw not_found("slot ", slot.index(), " has not been told the job's tables: expected a setup ",
                    "before ", prefix, " is restored");
  }
  const std::vector<std::string> parts = snapshot_parts(prefix);
  const SnapshotHead head = read_snapshot_head(parts.front());
  int64_t step = head.step;
  for (const std::string& part : parts) {
    step = std::min(step, read_snapshot_head(part).step);
  }
  Feed feed(slot);
  slot.clear(step, head.changed_since >= 0, feed.begin());
  for (const std::string& part : parts) load_part(slot, *setup, part, feed);
  feed.finish();
  return step;
}

bool restore_newest(Slot& slot, const std::string& directory) {
  const std::string bundle = directory.empty() ? "" : newest_snapshot(directory, slot.index());
  if (bundle.empty()) {
    slot.restore_state("", false);
    log_warning(str_cat("slot ", slot.index(), " has neither a backup nor a snapshot",
                        directory.empty() ? "" : " in ", directory,
                        ": it begins without rows, all steps of its rows are lost"));
    return false;
  }
  const SnapshotHead head = read_snapshot_head(bundle);
  slot.restore_state(head.state, true);
  Feed feed(slot);
  if (const auto setup = slot.setup()) load_part(slot, *setup, bundle, feed);
  feed.finish();
  log_warning(str_cat("slot ", slot.index(), " begins from its snapshot ", bundle, ", of step ",
                      head.step));
  return true;
}

}  // namespace trireme::ps
