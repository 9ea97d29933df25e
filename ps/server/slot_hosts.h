// Which slots are on this server, and what it is to each: as the directory's views say.
//
// One thread, the server's manager, except where a method says otherwise. What takes long happens
// on other threads, so that a promotion waits for nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/server_view.h"
#include "ps/server/background.h"
#include "ps/server/replicator.h"
#include "ps/server/shard_mover.h"
#include "ps/server/slot.h"

namespace trireme::ps {

struct SlotHostsOptions {
  int server = 0;
  uint64_t incarnation = 0;
  std::string secret;  // of the connections to backups
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  std::string snapshot_directory;  // empty: none
  std::chrono::seconds snapshot_interval{60};
  ShardThreads& threads;
  MemoryBudget& budget;
  BufferPool& buffers;
  Background& background;
  // Called on any thread. All but the last are for the directory.
  std::function<void(int slot, int64_t epoch, uint64_t backup_incarnation)> in_sync;
  std::function<void(int server)> suspect;
  std::function<void(int64_t move, const std::string& error)> shard_moved;
  std::function<void(int slot, int64_t epoch, const std::string& why)> state_is_lost;
  std::function<void(int slot, int64_t epoch, int64_t steps)> lost_steps;
  std::function<void(const Error&)> failed;
  std::shared_ptr<const OpTable> ops = nullptr;  // as UpdateSpec::ops
};

class SlotHosts {
 public:
  explicit SlotHosts(SlotHostsOptions options) : options_(std::move(options)) {}
  SlotHosts(const SlotHosts&) = delete;

  void follow(const ServerView& view) EXCLUDES(mutex_);
  // What is due: late pulls, snapshots, what could not be done at once.
  void tick() EXCLUDES(mutex_);
  // Nobody is answered any more, and nothing is sent to backups.
  void resign() EXCLUDES(mutex_);
  // The slots go, when their work is done. REQUIRES: resign().
  void clear() EXCLUDES(mutex_);

  // Any thread: of the last view that was followed; the slot, null when it is not here.
  const std::atomic<int64_t>& view_number() const { return view_number_; }
  std::shared_ptr<Slot> find(int slot) const EXCLUDES(mutex_);
  // A piece of a shard that moves to one of the slots here; answers now or later.
  void receive_move(const std::shared_ptr<Slot>& slot, const ReceivedEntry& entry,
                    const std::shared_ptr<Responder>& responder);
  struct Present {
    std::shared_ptr<Slot> slot;
    int64_t backup_lag = 0;  // entries that the backup has not taken
  };
  std::map<int, Present> all() const EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  using Flag = std::shared_ptr<std::atomic<bool>>;

  struct Host {
    std::shared_ptr<Slot> slot;
    int64_t epoch = 0;
    bool primary = false;  // it was promoted, or is as soon as it is restored
    std::unique_ptr<Replicator> replicator;
    int backup = -1;
    uint64_t backup_incarnation = 0;
    Flag forgotten = std::make_shared<std::atomic<bool>>(false);  // the backup has, its state
    // The attempt that it obeys instead, if any.
    std::shared_ptr<std::atomic<int64_t>> obeyed = std::make_shared<std::atomic<int64_t>>(0);
    std::unique_ptr<ShardMover> mover;
    int64_t move = 0;  // its id
    Clock::time_point snapshot_due;
    int64_t snapshot_index = 0;  // of the log, when the last one was begun
    Flag saving = std::make_shared<std::atomic<bool>>(false);
  };
  // What is not needed any more and takes a moment to end.
  struct Retired {
    std::shared_ptr<Slot> slot;
    std::unique_ptr<Replicator> replicator;
    std::unique_ptr<ShardMover> mover;
  };

  void follow_slot(int index) EXCLUDES(mutex_);
  Host& host(int index, int64_t epoch) EXCLUDES(mutex_);
  void lead(int index, const SlotEntry& entry) EXCLUDES(mutex_);
  void begin(int index, Host& host, const SlotEntry& entry);
  void follow_map(int index, Host& host);
  ShardSet shards_of(int slot) const;
  void set_backup(int index, Host& host, const SlotEntry& entry);
  void drop(int index) EXCLUDES(mutex_);
  void retire(Host& host);
  void save(int index, Host& host);

  const SlotHostsOptions options_;
  std::atomic<int64_t> view_number_{0};
  ServerView view_;
  int64_t attempts_ = 0;
  std::map<int, Host> hosts_;
  std::vector<Retired> retired_;
  mutable Mutex mutex_;
  std::map<int, Present> present_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
