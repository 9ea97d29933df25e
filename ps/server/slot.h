// A slot: a set of virtual shards and the ordered log of what happens to them; a state machine that
// two servers can run and stay equal.
//
// Shards may come and go; which are here follows from the log. One is served where the directory's
// view says it is, so a primary that does not know of a move yet, or has not taken back a part in
// one that failed, answers nobody who is not meant for it.
//
// The primary decides what enters the log, under one lock that is held for short; each entry then
// becomes work for the threads that own its shards, which do it in the log's order. What an entry
// does depends on the log only, so a backup that applies the same entries has the same rows, knows
// the same pushes and holds the same ones back.
//
// All methods may be called from any thread, those that are told of are told so; callbacks come
// on any thread, without the lock. The slot does not know of networks or disks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "ps/protocol/buffer_pool.h"
#include "ps/server/ack.h"
#include "ps/server/cut_queue.h"
#include "ps/server/entry_check.h"
#include "ps/server/gate.h"
#include "ps/server/job_setup.h"
#include "ps/server/key_cache.h"
#include "ps/server/log_entry.h"
#include "ps/server/shard_membership.h"
#include "ps/server/slot_jobs.h"
#include "ps/server/slot_log.h"
#include "ps/server/slot_shards.h"
#include "ps/server/worker_ledger.h"

namespace trireme::ps {

struct SlotOptions {
  int index = 0;
  int64_t epoch = 0;
  ShardSet shards;  // at first
  int servers = 1;
  std::string session = {};  // of the job's tables: its snapshots are of no use to another one
  ShardThreads& threads;
  MemoryBudget& budget;
  BufferPool& buffers;
  const std::atomic<int64_t>& view;                 // for answers
  std::function<void(const Error&)> failed;         // the slot's rows are not what the log says
  std::chrono::milliseconds snapshot_idle{60'000};  // then an open snapshot may be taken away
  // A worker was acknowledged so many steps more than are here. Called with the lock held.
  std::function<void(int64_t epoch, int64_t steps)> lost_steps = {};
  std::shared_ptr<const OpTable> ops = nullptr;  // as UpdateSpec::ops
};

struct SlotStatistics {
  std::vector<ShardStatistics> tables;  // of each table, over all shards
};

class Slot {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Slot(SlotOptions options);
  ~Slot();  // gives up what waits
  Slot(const Slot&) = delete;

  int index() const { return options_.index; }
  ShardSet shard_set() const EXCLUDES(mutex_);
  int shard_count() const { return virtual_shards(options_.servers); }  // of the job
  std::shared_ptr<const JobSetup> setup() const EXCLUDES(mutex_);       // null: none yet
  const ShardLoad& load(int shard) const { return shards_.load(shard); }
  MemoryBudget& budget() const { return options_.budget; }

  // From now on it answers workers; until then, and after resign(), they get kWrongView.
  void promote(int64_t epoch) EXCLUDES(mutex_);
  void resign() EXCLUDES(mutex_);

  // ---- of the primary. Errors in the message are thrown before anything has changed.
  void pull(const Message& message, std::unique_ptr<Responder>& responder) EXCLUDES(mutex_);
  void push(const Message& message, std::unique_ptr<Responder>& responder) EXCLUDES(mutex_);
  // Each puts one entry into the log; `done` is told when it is acknowledged (true), or that this
  // is not the primary any more.
  using Done = std::function<void(bool)>;
  void set_up(std::string_view serialized_setup, Done done) EXCLUDES(mutex_);
  // What a worker says that it was acknowledged, which may be lost here.
  void hear(const RequestHeader& header) EXCLUDES(mutex_);
  void assign(std::string_view serialized_assign, Done done) EXCLUDES(mutex_);
  void evict(Done done) EXCLUDES(mutex_);
  void clear(int64_t step, bool keep_rows, Done done) EXCLUDES(mutex_);
  // `kind`: kRows or kWaiting.
  void load_rows(EntryKind kind, int shard, int table, Message batch, Done done) EXCLUDES(mutex_);
  // What all of these shards, the slot's, have of a worker.
  struct LastPush {
    uint64_t sequence = 0;
    int64_t step = 0;
    ShardSet shards;
    bool trained = false;  // see is_trained()
  };
  // Enters nothing; `done` comes when all that is in the log is acknowledged.
  void last_push(int worker, std::function<void(bool, const LastPush&)> done) EXCLUDES(mutex_);
  // Pulls that waited too long get their error; snapshots that nobody uses go; rows that should go
  // do.
  void tick(Clock::time_point now) EXCLUDES(mutex_);

  // A cut of the log, as soon as its step is there and the one before is closed: one at a time.
  // Null: this is not the primary any more.
  using Opened = CutQueue::Opened;
  void open_cut(Opened opened, CutRequest request = {}) EXCLUDES(mutex_);
  void close_cut(int64_t id) EXCLUDES(mutex_);
  // The open one with this id, which stays open until end_use(). Throws Error{kNotFound}.
  std::shared_ptr<const Cut> use_cut(int64_t id) EXCLUDES(mutex_);
  void end_use() EXCLUDES(mutex_);
  void statistics(std::function<void(SlotStatistics)> done) EXCLUDES(mutex_);

  // ---- of the primary with a backup.
  // Sends the state, then all that enters the log, to `sink`; one at a time. Acknowledges as if
  // there were no backup until wait_for_backup().
  void attach(LogSink& sink) EXCLUDES(mutex_);
  // From now on nothing is acknowledged before backup_has() it.
  // `sink`: which of them says it; one that was detached is not heard.
  void wait_for_backup(const LogSink* sink) EXCLUDES(mutex_);
  void backup_has(int64_t index, const LogSink* sink) EXCLUDES(mutex_);
  void set_backup_room(int64_t bytes) { backup_room_.store(bytes, std::memory_order_relaxed); }
  // There is no backup any more: what waited for it is acknowledged. `hold`: it waits on, for the
  // sink that is attached next.
  void detach(bool hold = false) EXCLUDES(mutex_);
  // ---- of the primary: shards that move. See shard_mover.h.
  using Arrival = ShardMembership::Arrival;
  // What the view says: the shards that are this slot's, one that is on its way here or from here
  // (−1: none). What does not fit in the log's own state leaves, or stays after all.
  void follow_map(const ShardSet& mapped, const Arrival& arriving, int leaving) EXCLUDES(mutex_);
  // From the acknowledgement on nothing changes the shard. `done(false)`: not now.
  void freeze(int shard, Done done) EXCLUDES(mutex_);
  // Of a frozen shard: what receive_move() of the other slot takes, in this order; empty: it is not
  // frozen any more. On the shard's thread.
  void export_move(int shard, std::function<void(std::vector<LogEntry>)> done) EXCLUDES(mutex_);
  // The rows of a shard that has not arrived yet, as a cut of its own, with `state`. Null: not now.
  void open_staged(int shard, std::string state,
                   std::function<void(std::shared_ptr<const Cut>)> done) EXCLUDES(mutex_);
  // A checkpoint is read: no shard may move. False: one does.
  bool begin_restore() EXCLUDES(mutex_);
  void end_restore() EXCLUDES(mutex_);

  // The rows of a shard, as kShardRows and kShardLoaded entries; on the shard's thread.
  void export_shard(int shard, std::function<void(std::vector<LogEntry>)> done) EXCLUDES(mutex_);

  // ---- of the backup: what the primary sends.
  enum class Receipt {
    kTaken,    // now or before
    kMissing,  // something that was sent before it did not come
    kOutdated  // its sender is not the primary any more, or has begun anew
  };
  // `applied` is called when the shards have done it, also when that was before. Throws
  // Error{kInvalidArgument} for an entry that cannot be: nothing has changed then.
  Receipt apply(const ReceivedEntry& entry, std::function<void()> applied) EXCLUDES(mutex_);
  bool is_complete() const EXCLUDES(mutex_);  // all shards are loaded
  int64_t attempt() const EXCLUDES(mutex_);   // that it obeys
  // What the directory says: whoever says that he is the primary of a later one is not believed.
  void follow_epoch(int64_t epoch) EXCLUDES(mutex_);
  // The same of a primary, for the pieces of a shard that another slot's primary sends.
  // Throws Error{kResourceExhausted} when there is no room for it, kInvalidArgument as apply().
  Receipt receive_move(const ReceivedEntry& entry, Done done) EXCLUDES(mutex_);
  // What receive_move() checks first. REQUIRES: it has a setup.
  void check_move(const ReceivedEntry& entry) const EXCLUDES(mutex_);
  // A piece from a file, of a slot that is being restored.
  void load_arrival(LogEntry entry, Done done) EXCLUDES(mutex_);

  // A snapshot's state, before promote(); then load_rows(). `found`: false when there was none.
  void restore_state(std::string_view serialized_state, bool found) EXCLUDES(mutex_);

  int64_t finished_step() const EXCLUDES(mutex_);
  int64_t worker_step(int worker) const EXCLUDES(mutex_);  // all its pushes up to this one are here
  int64_t newest_step() const EXCLUDES(mutex_);
  int64_t last_index() const EXCLUDES(mutex_);
  int64_t waiting_pulls() const EXCLUDES(mutex_);
  int64_t staleness() const EXCLUDES(mutex_);  // steps from the slowest worker to the fastest
  bool is_primary() const EXCLUDES(mutex_);
  // Something was pushed since the tables got their first values, or those of a checkpoint: these
  // were complete then, so that it makes sense to go on from a snapshot.
  bool is_trained() const EXCLUDES(mutex_);

 private:
  struct WaitingPull {
    Clock::time_point deadline;
    std::unique_ptr<Pull> pull;
  };

  std::shared_ptr<const JobSetup> require_setup() const EXCLUDES(mutex_);
  OutMessage wrong_view() const;
  AnswerHeader answer_header() const REQUIRES(mutex_);

  // Requests.
  std::shared_ptr<const ResolvedList> list_of(const Section& section, const JobSetup& setup);
  std::shared_ptr<Push> make_push(const Message& message, const Request& request,
                                  const JobSetup& setup, std::span<const int64_t> more_keys = {});
  bool answer_known(const RequestHeader& header, std::unique_ptr<Responder>& responder,
                    Dispatch& dispatch) REQUIRES(mutex_);
  void refuse_view(std::unique_ptr<Responder>& responder, Dispatch& dispatch);
  ShardSet shards_of(const RequestHeader& push) const REQUIRES(mutex_);
  void order(std::shared_ptr<Push> push, std::unique_ptr<Responder>& responder) EXCLUDES(mutex_);
  bool admit(const std::shared_ptr<Push>& push, std::unique_ptr<Responder>& responder);
  void pass_lost_steps(const RequestHeader& header, Dispatch& dispatch) REQUIRES(mutex_);
  bool is_ready(const Pull& pull) const REQUIRES(mutex_);
  void serve_waiting(Dispatch& dispatch) REQUIRES(mutex_);
  std::string waits_for(const Pull& pull) const REQUIRES(mutex_);
  int64_t finished() const REQUIRES(mutex_);

  // Entries. `ack`: null on a backup.
  void enter(LogEntry entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) REQUIRES(mutex_);
  void enter_push(std::shared_ptr<Push> push, int64_t index, const std::shared_ptr<Ack>& ack,
                  Dispatch& dispatch) REQUIRES(mutex_);
  void do_entry(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  void do_setup(std::shared_ptr<const JobSetup> setup, Dispatch& dispatch) REQUIRES(mutex_);
  void do_assign(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  void add(std::shared_ptr<ShardJob> job, const std::shared_ptr<Ack>& ack, Dispatch& dispatch);
  void do_catch_up(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  void advance_gate(int64_t index, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  void do_leave(int shard, int64_t index, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  void do_arrive(const LogEntry& entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch)
      REQUIRES(mutex_);
  // Of requests that were checked. REQUIRES: nothing has changed yet, since it may throw.
  std::vector<std::shared_ptr<Push>> held_again(const std::vector<std::string>& requests,
                                                const JobSetup& setup);
  void hold(std::vector<std::shared_ptr<Push>> pushes, const ShardSet& shards) REQUIRES(mutex_);
  // Throws Error{kInvalidArgument} when the job has another number of virtual shards there.
  void require_shards(const JobSetup& setup) const;
  void check_order(const EntryHeader& header, bool begins) const REQUIRES(mutex_);
  // `touched`: shards that must be here, and free to change.
  void append(LogEntry entry, Done done, const ShardSet& touched = {}) EXCLUDES(mutex_);
  // The same of what is in a file: checked first.
  void append_from_file(LogEntry entry, Done done) EXCLUDES(mutex_);
  LogEntry entry_of(EntryKind kind, const Push& push, int64_t index) const;
  // `shards`: that it is of. With what the gate holds, when nobody sends that otherwise.
  std::string save_state(const ShardSet& shards, bool with_held) const REQUIRES(mutex_);
  void load_state(const CheckedState& checked, Dispatch& dispatch) REQUIRES(mutex_);
  void note_lost_steps(int64_t step) REQUIRES(mutex_);

  bool is_ready(const CutRequest& request) const REQUIRES(mutex_);
  std::optional<Error> too_late(const CutRequest& request) const REQUIRES(mutex_);
  // The first that is ready, unless one is open.
  void start_cut(Dispatch& dispatch) REQUIRES(mutex_);
  void open_now(CutQueue::Wanted wanted, Dispatch& dispatch) REQUIRES(mutex_);
  void finish_cut(Dispatch& dispatch) REQUIRES(mutex_);
  void end_late_cuts(Clock::time_point now, Dispatch& dispatch) REQUIRES(mutex_);

  const SlotOptions options_;
  SlotShards shards_;
  KeyCache lists_;
  std::atomic<int64_t> backup_room_{std::numeric_limits<int64_t>::max()};

  mutable Mutex mutex_;
  bool primary_ GUARDED_BY(mutex_) = false;
  bool restoring_ GUARDED_BY(mutex_) = false;  // on the way to be
  int64_t epoch_ GUARDED_BY(mutex_) = 0;
  int64_t known_epoch_ GUARDED_BY(mutex_) = 0;  // by the directory's word
  std::shared_ptr<const JobSetup> setup_ GUARDED_BY(mutex_);

  // The replicated state. Which shards the view maps here, and how far the backup is, are the
  // primary's.
  SlotLog log_ GUARDED_BY(mutex_);
  ShardMembership members_ GUARDED_BY(mutex_);
  WorkerLedger ledger_ GUARDED_BY(mutex_);
  Gate gate_ GUARDED_BY(mutex_);
  int64_t newest_step_ GUARDED_BY(mutex_) = 0;
  bool trained_ GUARDED_BY(mutex_) = false;

  // Of the primary only.
  std::list<WaitingPull> waiting_ GUARDED_BY(mutex_);
  // What comes before the first step that was pulled, while nothing was pushed.
  std::optional<int64_t> first_pulled_ GUARDED_BY(mutex_);
  std::optional<int64_t> restored_step_ GUARDED_BY(mutex_);  // until the job's step is known
  int64_t evicted_at_ GUARDED_BY(mutex_) = 0;                // the log's index then
  Clock::time_point evict_due_ GUARDED_BY(mutex_){};
  CutQueue cuts_ GUARDED_BY(mutex_);

  // Of a backup.
  int64_t attempt_ GUARDED_BY(mutex_) = 0;
  int64_t position_ GUARDED_BY(mutex_) = 0;
  ShardSet unloaded_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
