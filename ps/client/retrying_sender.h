// Sends requests to whoever holds their slot, again and again until there is an answer: a server
// that dies, a connection that breaks, a slot that moves and a message that gets lost are not the
// caller's concern.
//
// A worker that was told to stop still finishes its step, with its servers and the other workers.
// What it would wait for in vain, because they are gone or silent, ends with Error{kCancelled}.
//
// One thread ("ps-time") sends again what is due and ends what is late. send() and set_view() may
// be called from any thread; `done` is called on any of these, on those of ServerLinks or on the
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
#include "distributed/coordination/server_view.h"
#include "ps/client/server_links.h"
#include "ps/client/stop_watch.h"
#include "ps/protocol/rpc.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {

struct OutgoingRequest {
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
  // it the request ends with Error{kUnavailable}.
  std::function<std::vector<OutgoingRequest>(std::span<const int> slot_of_shard)> split;
  // Once: an answer whose code is kOk or kDropped, or the error.
  std::function<void(Message answer, std::unique_ptr<Error> error)> done;
};

class RetryingSender {
 public:
  // `stop`: whether this worker was told to stop; asked some times a second. Null: it never is.
  RetryingSender(ServerLinkOptions links, std::function<StopState()> stop, const ServerView& view);
  ~RetryingSender();  // REQUIRES: nobody waits for a request
  RetryingSender(const RetryingSender&) = delete;

  void set_view(const ServerView& view) EXCLUDES(mutex_);
  // The job cannot go on: all requests end with this, and each later one.
  void fail(const Error& error) EXCLUDES(mutex_);

  std::vector<int> slot_of_shard() const EXCLUDES(mutex_);  // by the newest view
  void send(OutgoingRequest request) EXCLUDES(mutex_);
  // Until every slot has been told what the job wants. Throws what a server refused it for,
  // kDeadlineExceeded naming who is missing.
  void wait_until_ready(std::chrono::milliseconds timeout) { links_.wait_until_ready(timeout); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Sending;

  void keep_time();  // thread
  // Of a worker that was told to stop.
  void stop_waiting() EXCLUDES(mutex_);
  std::string why_in_vain(const Sending& sending, const StopState& stop,
                          Clock::time_point now) const REQUIRES(mutex_);

  void look_again() EXCLUDES(mutex_);  // there may be something to send now
  bool has_moved(const OutgoingRequest& request) const REQUIRES(mutex_);
  void attempt(const std::shared_ptr<Sending>& sending) EXCLUDES(mutex_);
  void take(const std::shared_ptr<Sending>& sending, int server, uint64_t connection,
            RpcResult result) EXCLUDES(mutex_);
  void finish(const std::shared_ptr<Sending>& sending, Message answer, std::unique_ptr<Error> error)
      EXCLUDES(mutex_);
  int primary_of(const Sending& sending) const REQUIRES(mutex_);  // -1: none
  std::string whereabouts(const Sending& sending) const REQUIRES(mutex_);
  Error late(const Sending& sending) const REQUIRES(mutex_);

  const std::function<StopState()> stop_;
  mutable Mutex mutex_;  // taken before that of links_
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool is_due_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<Error> fatal_ GUARDED_BY(mutex_);
  ServerView view_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Sending>> active_ GUARDED_BY(mutex_);
  ServerLinks links_;
  std::thread timer_;
};

}  // namespace trireme::ps
