// Cuts of a slot's log: all shards' rows as they were at one entry.
#include "ps/server/slot.h"

namespace trireme::ps {

void Slot::open_cut(Opened opened, CutRequest request) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  const int worker = request.worker;
  // Whoever asks from elsewhere asks the primary.
  if (worker >= 0 && !primary_) return dispatch.then([opened] { opened(nullptr); });
  const auto is_replaced = [&](const CutQueue::Wanted& wanted) {
    return request.replaces(wanted.request);
  };
  for (const CutQueue::Wanted& replaced : cuts_.take(is_replaced)) {
    dispatch.then(replaced.refusal(
        Error(ErrorCode::kCancelled,
              str_cat("slot ", options_.index, ": worker ", worker,
                      " asked for another snapshot, and nobody waits for this one any more"))));
  }
  if (cuts_.close_replaced(request)) finish_cut(dispatch);
  cuts_.add({std::move(opened), std::move(request), Clock::now()});
  start_cut(dispatch);
  dispatch.post();
}

bool Slot::is_ready(const CutRequest& request) const {
  if (request.step <= 0 || setup_ == nullptr || !setup_->any_sync) return true;
  return gate_.done().value_or(0) >= request.step;
}

// With backup workers a training that was told to stop may have taken steps without worker 0.
std::optional<Error> Slot::too_late(const CutRequest& request) const {
  if (request.step <= 0 || setup_ == nullptr || !setup_->any_sync || setup_->backup_workers > 0) {
    return std::nullopt;
  }
  const int64_t done = gate_.done().value_or(0);
  if (done <= request.step) return std::nullopt;
  return failed("slot ", options_.index, ": worker ", request.worker,
                " asked for a snapshot of step ", request.step, ", and the rows are at step ", done,
                " already; is another worker ", request.worker, " training with these servers?");
}

void Slot::start_cut(Dispatch& dispatch) {
  const auto ready = [&](const CutRequest& request) REQUIRES(mutex_) { return is_ready(request); };
  while (auto wanted = cuts_.take_next(ready)) {
    const auto error = too_late(wanted->request);
    if (!error) return open_now(*std::move(wanted), dispatch);
    dispatch.then(wanted->refusal(*error));
  }
}

void Slot::open_now(CutQueue::Wanted wanted, Dispatch& dispatch) {
  const auto cut = std::make_shared<Cut>();
  cut->id = cuts_.begin(epoch_);
  cut->step = finished();
  cut->newest = newest_step_;
  cut->shards = members_.present();
  // What the gate holds is of later steps: a checkpoint begins without it, and gets it again.
  cut->state = save_state(cut->shards, wanted.request.step == 0);
  cut->session = options_.session;
  cut->setup = setup_;
  cut->tables.resize(static_cast<size_t>(shard_count()));
  const auto open = [cut](Shard& shard, int number) {
    for (const auto& table : shard.tables) {
      shard.snapshots.push_back(table->open_snapshot());
      cut->tables[static_cast<size_t>(number)].push_back(shard.snapshots.back().get());
    }
  };
  const auto is_open = [this, cut, request = wanted.request, opened = std::move(wanted.opened)] {
    bool is_forgotten = false;
    {
      MutexLock lock(mutex_);
      is_forgotten = cuts_.open(cut, request);
    }
    opened(cut);
    if (is_forgotten) close_cut(cut->id);
  };
  dispatch.add(make_job(shards_, cut->shards, 0, open, is_open));
}

void Slot::finish_cut(Dispatch& dispatch) {
  dispatch.add(
      make_job(shards_, cuts_.finish(), 0, [](Shard& shard, int) { shard.snapshots.clear(); }));
  start_cut(dispatch);
}

// Those whose step has not come. One that waits for another to be closed goes on waiting.
void Slot::end_late_cuts(Clock::time_point now, Dispatch& dispatch) {
  const auto is_late = [&](const CutQueue::Wanted& wanted) REQUIRES(mutex_) {
    return !is_ready(wanted.request) && now - wanted.since >= setup_->timeout;
  };
  for (const CutQueue::Wanted& late : cuts_.take(is_late)) {
    const double seconds = std::chrono::duration<double>(setup_->timeout).count();
    dispatch.then(late.refusal(
        Error(ErrorCode::kDeadlineExceeded,
              str_cat("slot ", options_.index, ": the snapshot of step ", late.request.step,
                      " for worker ", late.request.worker, " has waited ", seconds,
                      " s for the pushes of ", gate_.missing(late.request.step, ledger_)))));
  }
}

void Slot::close_cut(int64_t id) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (cuts_.close(id)) finish_cut(dispatch);
  dispatch.post();
}

std::shared_ptr<const Cut> Slot::use_cut(int64_t id) {
  MutexLock lock(mutex_);
  auto cut = cuts_.use(id);
  if (cut != nullptr) return cut;
  throw not_found("slot ", options_.index, ": snapshot ", id,
                  " is not open (any more): open another one");
}

void Slot::end_use() {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (cuts_.end_use()) finish_cut(dispatch);
  dispatch.post();
}

void Slot::statistics(std::function<void(SlotStatistics)> done) {
  const auto found = setup();
  struct Sums {
    Mutex mutex;
    SlotStatistics statistics;
  };
  const auto sums = std::make_shared<Sums>();
  if (found != nullptr) sums->statistics.tables.resize(found->tables.size());
  const auto gather = [sums](Shard& shard, int) {
    for (size_t i = 0; i < shard.tables.size(); ++i) {
      const ShardStatistics one = shard.tables[i]->statistics();
      MutexLock lock(sums->mutex);
      if (i >= sums->statistics.tables.size()) return;
      ShardStatistics& sum = sums->statistics.tables[i];
      if (one.rows > 0) sum.oldest = sum.rows == 0 ? one.oldest : std::min(sum.oldest, one.oldest);
      sum.rows += one.rows;
      sum.bytes += one.bytes;
      sum.waiting += one.waiting;
      sum.evicted += one.evicted;
      sum.squares += one.squares;
    }
  };
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  dispatch.add(make_job(shards_, members_.owned(), kReads, gather,
                        [sums, done = std::move(done)] { done(std::move(sums->statistics)); }));
  dispatch.post();
}

}  // namespace trireme::ps
