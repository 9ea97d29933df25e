// Keeps the backup of one slot equal: sends it the slot's state, its rows shard by shard while work
// goes on, and from then on each entry of the log.
//
// What is sent is numbered and kept until the backup has taken it, so that after a lost message or
// a broken connection it is sent again in the same order. Acknowledgements of the slot wait for the
// backup from the moment that it has all rows; the owner is told when it has also taken all that
// was acknowledged before.
//
// One thread of its own. send() comes under the slot's lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "ps/protocol/rpc.h"
#include "ps/server/slot.h"

namespace trireme::ps {

struct ReplicatorOptions {
  ConnectOptions connect;  // to the backup
  int64_t epoch = 0;
  int64_t attempt = 0;  // greater than of any attempt before
  const std::atomic<int64_t>& view;
  // The slot waits for its backup already: nothing is acknowledged before it is in sync.
  bool hold = false;
  // On the replicator's thread. The first once; the others again and again: the backup does not
  // answer, or it has forgotten what it was sent or refuses it, and must get all of it anew.
  std::function<void()> in_sync, suspect;
  // `attempt`: that the backup obeys; the next one must be greater.
  std::function<void(int64_t attempt)> forgotten;
};

class Replicator final : public LogSink {
 public:
  // Attaches itself to the slot, which must live longer.
  Replicator(Slot& slot, ReplicatorOptions options);
  // REQUIRES: Slot::detach() or resign() came before. Waits until it has ended.
  ~Replicator() override;
  void end();  // without waiting
  bool has_ended() const { return ended_.load(); }
  Replicator(const Replicator&) = delete;

  void send(LogEntry entry) override EXCLUDES(mutex_);
  bool is_in_sync() const { return in_sync_.load(); }
  int64_t queued() const EXCLUDES(mutex_);  // entries that the backup has not taken

 private:
  using Clock = std::chrono::steady_clock;
  struct Outstanding {
    LogEntry entry;
    size_t bytes = 0;
    MemoryBudget::Reservation memory;
  };

  void run();  // thread
  void connect_to_backup();
  void send_some() EXCLUDES(mutex_);
  void take(int64_t position, uint64_t connection, const RpcResult& result) EXCLUDES(mutex_);
  void report_taken() EXCLUDES(mutex_);
  void give_up(const std::string& why) EXCLUDES(mutex_);
  void catch_up() EXCLUDES(mutex_);
  void begin_again() REQUIRES(mutex_);  // with what the backup has not taken
  size_t most_queued() const;

  Slot& slot_;
  const ReplicatorOptions options_;
  std::shared_ptr<RpcConnection> connection_;  // the thread's

  mutable Mutex mutex_;
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::deque<Outstanding> queue_ GUARDED_BY(mutex_);
  size_t queue_bytes_ GUARDED_BY(mutex_) = 0;
  size_t sent_ GUARDED_BY(mutex_) = 0;             // of the queue
  size_t sent_bytes_ GUARDED_BY(mutex_) = 0;       // and not taken
  int64_t last_position_ GUARDED_BY(mutex_) = 0;   // of the queue's end
  int64_t taken_position_ GUARDED_BY(mutex_) = 0;  // all up to it were taken
  int64_t taken_index_ GUARDED_BY(mutex_) = 0;
  int64_t reported_ GUARDED_BY(mutex_) = 0;      // of taken_position_, to the slot
  int64_t room_ GUARDED_BY(mutex_) = 0;          // bytes that the backup's tables may grow by
  uint64_t connections_ GUARDED_BY(mutex_) = 0;  // counts them: answers to earlier ones are late
  bool broken_ GUARDED_BY(mutex_) = false;
  Clock::time_point pause_ GUARDED_BY(mutex_){};  // nothing is sent before
  bool exporting_ GUARDED_BY(mutex_) = false;
  int refusals_ GUARDED_BY(mutex_) = 0;     // since the backup took something
  std::string refused_ GUARDED_BY(mutex_);  // why it will not take this: nothing more is sent
  int64_t obeyed_ GUARDED_BY(mutex_) = 0;   // the attempt that outdates this one

  // The thread's.
  std::vector<int> shards_left_;
  bool waits_ = false;         // the slot waits for the backup
  int64_t sync_position_ = 0;  // what must be taken to be in sync; 0: not known yet
  std::atomic<bool> in_sync_{false}, ended_{false};
  std::thread thread_;
};

}  // namespace trireme::ps
