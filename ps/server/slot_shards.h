// The virtual shards of a slot and who works on them: each shard belongs to one of the server's
// threads, and all that happens to it comes through that thread's queue.
//
// The rows of a shard are touched by its thread only. What is said of other methods is said there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "ps/server/memory_budget.h"
#include "ps/server/shard_threads.h"
#include "ps/table/shard_set.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

class ShardJob;

struct Shard {
  std::vector<std::unique_ptr<TableShard>> tables;
  std::vector<std::unique_ptr<TableShard::Snapshot>> snapshots;  // the open cut, a table each
  // A backup that catches up gets a shard's rows after entries of the log that came behind them:
  // these wait, and those that are in the rows already are left out.
  bool loaded = true;
  int64_t cut = 0;
  std::vector<std::shared_ptr<ShardJob>> deferred;
  std::vector<int64_t> accounted;  // bytes of each table that the budget was told of
};

// How busy a shard was; read by any thread.
struct ShardLoad {
  std::atomic<int64_t> rows_pulled{0}, rows_pushed{0};
};

class SlotShards {
 public:
  // Shard v belongs to thread (v / servers) % threads: so that neighbours that went to different
  // servers do not leave a thread without work. `failed`: told, on any thread, when a shard could
  // not do what the log says. Has room for all shards of a job with so many servers.
  SlotShards(int servers, ShardThreads& threads, MemoryBudget& budget,
             std::function<void(const Error&)> failed);
  ~SlotShards();  // drain()
  SlotShards(const SlotShards&) = delete;

  // Waits until no work is left. Others must have stopped making more.
  void drain();

  const ShardSet& shards() const { return shards_; }
  ShardThreads& threads() { return threads_; }
  ShardLoad& load(int shard) { return loads_[static_cast<size_t>(shard)]; }
  const ShardLoad& load(int shard) const { return loads_[static_cast<size_t>(shard)]; }

 private:
  friend class ShardJob;
  friend class Dispatch;

  void account(Shard& shard, size_t table);

  const ShardSet shards_;
  ShardThreads& threads_;
  std::vector<ShardSet> of_thread_;
  MemoryBudget& budget_;
  const std::function<void(const Error&)> failed_;
  std::vector<Shard> states_;  // of all shards of the job
  std::vector<ShardLoad> loads_;
  std::atomic<int64_t> running_{0};  // jobs, by thread, that are not through
};

// What one message does to the shards. Made by whoever got it, then in the hands of the threads.
class ShardJob : public ShardWork, public std::enable_shared_from_this<ShardJob> {
 public:
  // `index`: of the entry of the log that this is; 0: of none.
  ShardJob(SlotShards& slot, ShardSet shards, int64_t index, size_t cost)
      : slot_(slot), shards_(shards & slot.shards()), index_(index), cost_(cost) {}
  void run(int thread) final;

 protected:
  // On the shard's thread. An Error that is thrown here fails the slot.
  virtual void apply(Shard& shard, int number) = 0;
  // Tells the budget what a table takes now. For whoever changes rows.
  void account(Shard& shard, int table) { slot_.account(shard, static_cast<size_t>(table)); }
  void account(Shard& shard);
  // Once, on the last thread, or at once when no shard is touched.
  virtual void finish() {}

  SlotShards& slot_;  // outlives run(), not the job

 private:
  friend class Dispatch;

  void run_shard(int number);

  const ShardSet shards_;
  const int64_t index_;
  const size_t cost_;  // bytes that it touches, about
  std::atomic<int> threads_left_{0};
};

// A job of two functions. `index`: also kReads: rows stay as they are.
inline constexpr int64_t kReads = -1;
std::shared_ptr<ShardJob> make_job(SlotShards& slot, ShardSet shards, int64_t index,
                                   std::function<void(Shard&, int)> apply,
                                   std::function<void()> finish = nullptr);

// The jobs and the answers that come of one turn under the slot's lock, in their order.
class Dispatch {
 public:
  explicit Dispatch(SlotShards& slot) : slot_(slot) {}
  Dispatch(const Dispatch&) = delete;
  ~Dispatch() { run(); }

  void add(std::shared_ptr<ShardJob> job) { jobs_.push_back(std::move(job)); }
  void then(std::function<void()> later) { later_.push_back(std::move(later)); }
  // Under the lock, at its end: puts the jobs into the queues, or takes the threads' place when
  // they are idle and there is little to do.
  void post();
  // After the lock. What was not posted, since an error came between, is dropped.
  void run();

 private:
  void for_each_thread(const ShardJob& job, FunctionRef<void(int)> visit) const;

  SlotShards& slot_;
  std::vector<std::shared_ptr<ShardJob>> jobs_;
  std::vector<std::function<void()>> later_;
  bool posted_ = false, seized_ = false;
};

}  // namespace trireme::ps
