#include "ps/server/slot_shards.h"

#include <algorithm>
#include <new>
#include <utility>

namespace trireme::ps {
namespace {

// What is done sooner than a thread is woken.
constexpr size_t kLittle = size_t{256} << 10;

class FunctionJob final : public ShardJob {
 public:
  FunctionJob(SlotShards& slot, ShardSet shards, int64_t index,
              std::function<void(Shard&, int)> apply, std::function<void()> finish)
      : ShardJob(slot, shards, std::max<int64_t>(index, 0), 2 * kLittle),
        reads_(index == kReads),
        apply_(std::move(apply)),
        finish_(std::move(finish)) {}

 private:
  void apply(Shard& shard, int number) override {
    apply_(shard, number);
    if (!reads_) account(shard);
  }
  void finish() override {
    if (finish_) finish_();
  }
  const bool reads_;
  std::function<void(Shard&, int)> apply_;
  std::function<void()> finish_;
};

}  // namespace

SlotShards::SlotShards(int servers, ShardThreads& threads, MemoryBudget& budget,
                       std::function<void(const Error&)> failed)
    : shards_(all_shards(virtual_shards(servers))),
      threads_(threads),
      of_thread_(static_cast<size_t>(threads.size())),
      budget_(budget),
      failed_(std::move(failed)),
      states_(shards_.count()),
      loads_(shards_.count()) {
  for_each_shard(shards_, [&](int shard) {
    const int thread = (shard / servers) % threads.size();
    of_thread_[static_cast<size_t>(thread)].set(static_cast<size_t>(shard));
  });
}

// The threads outlive all slots, and every job comes to its end.
void SlotShards::drain() {
  while (const int64_t left = running_.load()) running_.wait(left);
}

SlotShards::~SlotShards() {
  drain();
  for (const Shard& shard : states_) {
    for (const int64_t bytes : shard.accounted) budget_.change_used(-bytes);
  }
}

void SlotShards::account(Shard& shard, size_t table) {
  shard.accounted.resize(std::max(shard.accounted.size(), table + 1));
  const int64_t bytes = table < shard.tables.size() ? shard.tables[table]->bytes() : 0;
  budget_.change_used(bytes - shard.accounted[table]);
  shard.accounted[table] = bytes;
}

void ShardJob::account(Shard& shard) {
  const size_t count = std::max(shard.tables.size(), shard.accounted.size());
  for (size_t table = 0; table < count; ++table) slot_.account(shard, table);
}

void ShardJob::run_shard(int number) {
  Shard& shard = slot_.states_[static_cast<size_t>(number)];
  if (index_ > 0) {
    if (!shard.loaded) return shard.deferred.push_back(shared_from_this());
    if (index_ <= shard.cut) return;
  }
  try {
    apply(shard, number);
    // Work of the log that waited while this job loaded the shard.
    while (shard.loaded && !shard.deferred.empty()) {
      const auto deferred = std::move(shard.deferred);
      shard.deferred.clear();
      for (const auto& job : deferred) job->run_shard(number);
    }
  } catch (const Error& error) {
    slot_.failed_(Error(error.code(), str_cat("virtual shard ", number, ": ", error.what())));
  } catch (const std::bad_alloc&) {
    slot_.failed_(Error(ErrorCode::kResourceExhausted,
                        str_cat("virtual shard ", number, ": the system has no memory left, with ",
                                slot_.budget_.used(), " bytes in tables; lower the memory limit")));
  } catch (const std::exception& error) {
    slot_.failed_(
        Error(ErrorCode::kInternal, str_cat("virtual shard ", number, ": ", error.what())));
  }
}

void ShardJob::run(int thread) {
  const ShardSet mine = shards_ & slot_.of_thread_[static_cast<size_t>(thread)];
  for_each_shard(mine, [&](int number) { run_shard(number); });
  if (threads_left_.fetch_sub(1) == 1) finish();
  // The slot may be gone once the count is 0: of it, a notification uses the address only.
  std::atomic<int64_t>& running = slot_.running_;
  if (running.fetch_sub(1) == 1) running.notify_all();
}

std::shared_ptr<ShardJob> make_job(SlotShards& slot, ShardSet shards, int64_t index,
                                   std::function<void(Shard&, int)> apply,
                                   std::function<void()> finish) {
  return std::make_shared<FunctionJob>(slot, shards, index, std::move(apply), std::move(finish));
}

void Dispatch::for_each_thread(const ShardJob& job, FunctionRef<void(int)> visit) const {
  for (int thread = 0; thread < slot_.threads_.size(); ++thread) {
    if (job.shards_.intersects(slot_.of_thread_[static_cast<size_t>(thread)])) visit(thread);
  }
}

void Dispatch::post() {
  posted_ = true;
  size_t cost = 0;
  int runs = 0;
  for (const auto& job : jobs_) {
    int threads = 0;
    for_each_thread(*job, [&](int) { ++threads; });
    job->threads_left_ = threads;
    runs += threads;
    cost += job->cost_;
  }
  slot_.running_.fetch_add(runs);
  seized_ = runs > 0 && cost <= kLittle && slot_.threads_.try_seize();
  if (seized_) return;
  for (auto& job : jobs_) {
    if (job->shards_.none()) continue;
    for_each_thread(*job, [&](int thread) { slot_.threads_.post(thread, job); });
    job.reset();
  }
}

void Dispatch::run() {
  const auto jobs = std::exchange(jobs_, {});
  const auto later = std::exchange(later_, {});
  for (const auto& job : jobs) {
    if (job == nullptr || !posted_) continue;
    // What touches nothing still finishes.
    if (job->shards_.none()) job->finish();
    for_each_thread(*job, [&](int thread) { job->run(thread); });
  }
  if (std::exchange(seized_, false)) slot_.threads_.release();
  for (const auto& answer : later) answer();
}

}  // namespace trireme::ps
