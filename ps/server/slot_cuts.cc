// Cuts of a slot's log: all shards' rows as they were at one entry.
#include "ps/server/slot.h"

namespace trireme::ps {

void Slot::open_cut(Opened opened, CutRequest request) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  const int worker = request.worker;
  // Whoever asks from elsewhere asks the primary.
  if (worker >= 0 && !primary_) return dispatch.then([opened] { opened(nullptr); });
  std::erase_if(cut_queue_, [&](const WantedCut& wanted) {
    if (!request.replaces(wanted.request)) return false;
    refuse(wanted,
           Error(ErrorCode::kCancelled,
                 str_cat("slot ", options_.index, ": worker ", worker,
                         " asked for another snapshot, and nobody waits for this one any more")),
           dispatch);
    return true;
  });
  if (cut_ != nullptr && !cut_closing_ && request.replaces(cut_request_)) {
    cut_closing_ = true;
    if (cut_users_ == 0) finish_cut(dispatch);
  }
  cut_queue_.push_back({std::move(opened), std::move(request), Clock::now()});
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

void Slot::refuse(const WantedCut& wanted, const Error& error, Dispatch& dispatch) {
  dispatch.then([refused = wanted.request.refused, opened = wanted.opened, error] {
    refused ? refused(error) : opened(nullptr);
  });
}

void Slot::start_cut(Dispatch& dispatch) {
  if (cut_ != nullptr || cut_opening_) return;
  for (auto it = cut_queue_.begin(); it != cut_queue_.end();) {
    if (!is_ready(it->request)) {
      ++it;
      continue;
    }
    WantedCut wanted = std::move(*it);
    it = cut_queue_.erase(it);
    const auto error = too_late(wanted.request);
    if (!error) return open_now(std::move(wanted), dispatch);
    refuse(wanted, *error, dispatch);
  }
}

void Slot::open_now(WantedCut wanted, Dispatch& dispatch) {
  cut_opening_ = true;
  const auto cut = std::make_shared<Cut>();
  // Another server that takes over counts from elsewhere.
  cut->id = (epoch_ << 32) + ++cuts_;
  cut->step = finished();
  cut->newest = newest_step_;
  cut->shards = present();
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
      cut_ = cut;
      cut_opening_ = cut_closing_ = false;
      cut_used_ = Clock::now();
      cut_request_ = {.worker = request.worker, .step = request.step};
      for (const WantedCut& next : cut_queue_) is_forgotten |= next.request.replaces(request);
    }
    opened(cut);
    if (is_forgotten) close_cut(cut->id);
  };
  dispatch.add(make_job(shards_, cut->shards, 0, open, is_open));
}

void Slot::finish_cut(Dispatch& dispatch) {
  const ShardSet shards = cut_->shards;
  cut_ = nullptr;
  dispatch.add(make_job(shards_, shards, 0, [](Shard& shard, int) { shard.snapshots.clear(); }));
  start_cut(dispatch);
}

// Those whose step has not come. One that waits for another to be closed goes on waiting.
void Slot::end_late_cuts(Clock::time_point now, Dispatch& dispatch) {
  std::erase_if(cut_queue_, [&](const WantedCut& wanted) REQUIRES(mutex_) {
    if (is_ready(wanted.request) || now - wanted.since < setup_->timeout) return false;
    const double seconds = std::chrono::duration<double>(setup_->timeout).count();
    refuse(wanted,
           Error(ErrorCode::kDeadlineExceeded,
                 str_cat("slot ", options_.index, ": the snapshot of step ", wanted.request.step,
                         " for worker ", wanted.request.worker, " has waited ", seconds,
                         " s for the pushes of ", gate_.missing(wanted.request.step, ledger_))),
           dispatch);
    return true;
  });
}

void Slot::close_cut(int64_t id) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (cut_ == nullptr || cut_->id != id) return;
  cut_closing_ = true;
  if (cut_users_ == 0) finish_cut(dispatch);
  dispatch.post();
}

std::shared_ptr<const Cut> Slot::use_cut(int64_t id) {
  MutexLock lock(mutex_);
  if (cut_ == nullptr || cut_->id != id || cut_closing_) {
    throw not_found("slot ", options_.index, ": snapshot ", id,
                    " is not open (any more): open another one");
  }
  ++cut_users_;
  return cut_;
}

void Slot::end_use() {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  cut_used_ = Clock::now();
  if (--cut_users_ == 0 && cut_closing_) finish_cut(dispatch);
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
  dispatch.add(make_job(shards_, owned_, kReads, gather,
                        [sums, done = std::move(done)] { done(std::move(sums->statistics)); }));
  dispatch.post();
}

}  // namespace trireme::ps
