// Brings a virtual shard from a slot whose primary is here to another slot's primary: freezes it,
// sends its rows and what the slot knows of its pushes, and says when the other slot has all of it.
//
// Nobody obeys it: the shard is there when the directory's next view says so, and until then it is
// here. A transfer that breaks is begun anew, rows and all, for as long as the view wants the move.
//
// One thread of its own. Frozen, the shard is read and not written: what a move costs is a pause of
// its slot's pushes for as long as the shard takes over the network.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "ps/protocol/rpc.h"
#include "ps/server/slot.h"

namespace trireme::ps {

struct ShardMoverOptions {
  ConnectOptions connect;  // to the other slot's primary
  int shard = 0;
  int to = 0;            // slot
  int64_t to_epoch = 0;  // that slot's
  int64_t move = 0;      // the move's id
  const std::atomic<int64_t>& view;
  // Without a piece that is taken for so long it gives up.
  std::chrono::milliseconds patience{20'000};
  // On the mover's thread, once: with an empty text, the other slot has all of it; else why not.
  std::function<void(const std::string& error)> done;
};

// That receive_move() knows this attempt by.
int64_t move_attempt(int64_t move, int64_t attempt);

class ShardMover {
 public:
  ShardMover(std::shared_ptr<Slot> slot, ShardMoverOptions options);
  ~ShardMover();  // ends it, and waits for that
  void end();     // without waiting
  bool has_ended() const { return ended_.load(); }
  ShardMover(const ShardMover&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  void run();  // thread
  bool freeze();
  std::vector<LogEntry> copy();
  bool send(const std::vector<LogEntry>& entries, int64_t attempt);
  bool send_piece(RpcConnection& connection, LogEntry entry);
  // False: it ends, or nothing came in time.
  template <typename Future>
  bool wait(Future& future, Clock::time_point deadline);
  void pause();

  const std::shared_ptr<Slot> slot_;
  const ShardMoverOptions options_;
  Clock::time_point progress_ = Clock::now();  // the thread's
  Mutex mutex_;
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace trireme::ps
