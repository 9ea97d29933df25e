// Brings requests to whoever holds their slot, again and again until there is an answer: a server
// that dies, a connection that breaks, a slot that moves and a message that gets lost are not the
// sender's concern.
//
// A worker that was told to stop still finishes its step, with its servers and the other workers.
// What it would wait for in vain, because they are gone or silent, ends with Error{kCancelled}.
//
// Threads: one for each server, which connects and says what the job wants of a slot before
// anything else is asked of it; one that sends again what is due and ends what is late. send() and
// set_view() may be called from any thread; `done` is called on any of these, or on the
// transport's, without a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/server_view.h"
#include "ps/client/stop_watch.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/wire.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

// What is known where a request is sent to.
struct Destination {
  int64_t view = 0, epoch = 0;
  bool needs_keys = false;  // the server said so
};

struct Parcel {
  int slot = 0;
  ShardSet shards;                 // that must be in the slot
  std::string what;                // for messages: "push of step 12, part 0"
  bool is_control = false;         // goes over the connection for control
  bool waits_for_workers = false;  // its answer comes when other workers have done their part
  // Called each time that it is sent, on the thread that does. Nothing: it is not wanted any more.
  std::function<OutMessage(const Destination&)> make;
  std::chrono::steady_clock::time_point deadline;
  // Without an answer for so long it is sent once more, then after twice the time.
  std::chrono::milliseconds resend_after{2'000};
  // What is sent in its place when one of its shards has moved; `done` is not called then. Without
  // it the parcel ends with Error{kUnavailable}.
  std::function<std::vector<Parcel>(std::span<const int> slot_of_shard)> split;
  // Once: an answer whose code is kOk or kDropped, or the error.
  std::function<void(Message answer, std::unique_ptr<Error> error)> done;
};

struct CourierOptions {
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  bool shared_memory = true;
  int connections = 2;
  std::chrono::milliseconds setup_timeout{10'000};  // then it is sent again
  std::function<std::shared_ptr<RpcConnection>(const ConnectOptions&)> connect = connect_rpc;
  // To a slot's primary, first of all, in each epoch; and what it answered.
  std::function<OutMessage(int slot, const Destination&)> make_setup;
  std::function<void(int slot, const SlotEntry& entry, const Message& answer)> on_setup;
  std::function<void(int server)> suspect;
  // Whether this worker was told to stop; asked some times a second. Null: it never is.
  std::function<StopState()> stop;
  // What any server that holds this slot answers at once.
  std::function<OutMessage(int slot, const Destination&)> make_probe;
};

class Courier {
 public:
  Courier(CourierOptions options, const ServerView& view);
  ~Courier();  // REQUIRES: nobody waits for a parcel
  Courier(const Courier&) = delete;

  void set_view(const ServerView& view) EXCLUDES(mutex_);
  // The job cannot go on: all parcels end with this, and each later one.
  void fail(const Error& error) EXCLUDES(mutex_);

  std::vector<int> slot_of_shard() const EXCLUDES(mutex_);  // by the newest view
  void send(Parcel parcel) EXCLUDES(mutex_);
  // Until every slot has been told what the job wants. Throws what a server refused it for,
  // kDeadlineExceeded naming who is missing.
  void wait_until_ready(std::chrono::milliseconds timeout) EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  struct Sending;
  struct Link;

  void keep_link(Link& link);  // thread
  void keep_time();            // thread
  // Of a worker that was told to stop.
  void stop_waiting() EXCLUDES(mutex_);
  void probe(Link& link, Clock::time_point now, std::vector<std::function<void()>>& calls)
      REQUIRES(mutex_);
  std::string why_in_vain(const Sending& sending, const StopState& stop,
                          Clock::time_point now) const REQUIRES(mutex_);
  bool needs_connection(const Link& link) const REQUIRES(mutex_);
  int slot_to_set_up(const Link& link) const REQUIRES(mutex_);
  void connect(Link& link, const ServerEntry& server) EXCLUDES(mutex_);
  void set_up(Link& link, int slot) EXCLUDES(mutex_);
  void take_setup(Link& link, uint64_t connection, int slot, const SlotEntry& entry,
                  RpcResult result) EXCLUDES(mutex_);

  Link* ready_link(int slot) const REQUIRES(mutex_);
  bool has_moved(const Parcel& parcel) const REQUIRES(mutex_);
  void attempt(const std::shared_ptr<Sending>& sending) EXCLUDES(mutex_);
  void take(const std::shared_ptr<Sending>& sending, int server, uint64_t connection,
            RpcResult result) EXCLUDES(mutex_);
  void finish(const std::shared_ptr<Sending>& sending, Message answer, std::unique_ptr<Error> error)
      EXCLUDES(mutex_);
  std::string whereabouts(const Sending& sending) const REQUIRES(mutex_);
  Error late(const Sending& sending) const REQUIRES(mutex_);

  const CourierOptions options_;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool is_due_ GUARDED_BY(mutex_) = false;  // there may be something to send now
  std::unique_ptr<Error> fatal_ GUARDED_BY(mutex_);
  ServerView view_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Sending>> active_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Link>> links_;  // by server; what is in them: under the lock
  std::thread timer_;
};

}  // namespace trireme::ps
