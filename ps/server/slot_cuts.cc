// Cuts of a slot's log: all shards' rows as they were at one entry.
#include "ps/server/slot.h"

namespace trireme::ps {

void Slot::open_cut(std::function<void(std::shared_ptr<const Cut>)> opened, int worker) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  cut_queue_.push_back({std::move(opened), worker});
  if (cut_ == nullptr && !cut_opening_) {
    start_cut(dispatch);
  } else if (cut_ != nullptr && !cut_closing_ && worker >= 0 && worker == cut_worker_) {
    cut_closing_ = true;
    if (cut_users_ == 0) finish_cut(dispatch);
  }
  dispatch.post();
}

void Slot::start_cut(Dispatch& dispatch) {
  cut_opening_ = true;
  const auto cut = std::make_shared<Cut>();
  // Another server that takes over counts from elsewhere.
  cut->id = (epoch_ << 32) + ++cuts_;
  cut->step = finished();
  cut->shards = present();
  cut->state = save_state(cut->shards, true);
  cut->session = options_.session;
  cut->setup = setup_;
  cut->tables.resize(kVirtualShards);
  const auto open = [cut](Shard& shard, int number) {
    for (const auto& table : shard.tables) {
      shard.snapshots.push_back(table->open_snapshot());
      cut->tables[static_cast<size_t>(number)].push_back(shard.snapshots.back().get());
    }
  };
  dispatch.add(make_job(shards_, cut->shards, 0, open, [this, cut] {
    std::function<void(std::shared_ptr<const Cut>)> opened;
    bool is_forgotten = false;
    {
      MutexLock lock(mutex_);
      cut_ = cut;
      cut_opening_ = cut_closing_ = false;
      cut_used_ = Clock::now();
      opened = std::move(cut_queue_.front().opened);
      cut_worker_ = cut_queue_.front().worker;
      cut_queue_.pop_front();
      for (const WantedCut& next : cut_queue_) {
        is_forgotten |= next.worker >= 0 && next.worker == cut_worker_;
      }
    }
    opened(cut);
    if (is_forgotten) close_cut(cut->id);
  }));
}

void Slot::finish_cut(Dispatch& dispatch) {
  const ShardSet shards = cut_->shards;
  cut_ = nullptr;
  dispatch.add(make_job(shards_, shards, 0, [](Shard& shard, int) { shard.snapshots.clear(); }));
  if (!cut_queue_.empty()) start_cut(dispatch);
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
