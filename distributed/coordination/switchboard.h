// The Switchboard: the Roster and the Bulletin behind a lock, with the waiting that they do not do.
//
// All methods may be called from any thread, and many of them wait; each wait ends at its deadline,
// when its caller is gone, and at stop(). One thread of its own ticks, and is the only one that
// writes to the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/coordination/bulletin.h"
#include "distributed/coordination/roster.h"

namespace trireme {

// What is to be sent to one member, from whoever has something to say to the thread that writes.
class Outbox {
 public:
  struct Letter {
    std::optional<Error> fault;
    std::string stall;  // both empty: a sign of life
  };
  void push(Letter letter) EXCLUDES(mutex_);
  void close() EXCLUDES(mutex_);
  // Waits for the next one; nothing after close(), once all are read.
  std::optional<Letter> next() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<Letter> letters_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

class Switchboard {
 public:
  using CallerGone = std::function<bool()>;

  explicit Switchboard(CoordinatorOptions options);
  ~Switchboard();  // stop()
  // Ends all waits with kUnavailable.
  void stop() EXCLUDES(mutex_);

  // Ends the generation that runs, and the waits of those who want to be in the next one. Tasks of
  // another session than this are refused with `why` from now on.
  void begin_again(const std::string& session, const Error& why) EXCLUDES(mutex_);
  Membership join(const JoinRequest& request, uint64_t task, const CallerGone& gone)
      EXCLUDES(mutex_);
  // Waits until the member attends; when the caller is gone before that, the member is lost.
  void await_attendance(int64_t generation, int rank, const CallerGone& gone) EXCLUDES(mutex_);
  // A member's stream. Throws as Roster::attend().
  std::shared_ptr<Outbox> attend(int64_t generation, int rank) EXCLUDES(mutex_);
  void beat(int64_t generation, int rank, const MemberBeat& beat) EXCLUDES(mutex_);
  void report(int64_t generation, int rank, const Error& error) EXCLUDES(mutex_);
  // A member was told by a signal to stop.
  void told_to_stop(int64_t generation, int rank, int signal) EXCLUDES(mutex_);
  void leave(int64_t generation, int rank) EXCLUDES(mutex_);
  // See Roster::fail().
  void fail(const Error& error) EXCLUDES(mutex_);
  // The end of the stream, after a goodbye or without.
  void detach(int64_t generation, int rank) EXCLUDES(mutex_);

  void barrier(int64_t generation, int rank, const std::string& name,
               std::chrono::milliseconds timeout, const CallerGone& gone) EXCLUDES(mutex_);
  void put(const std::string& key, std::string value) EXCLUDES(mutex_);
  std::string get(const std::string& key, std::chrono::milliseconds timeout, const CallerGone& gone)
      EXCLUDES(mutex_);

  int64_t generation() const EXCLUDES(mutex_);
  int members() const EXCLUDES(mutex_);
  const CoordinatorOptions& options() const { return options_; }

 private:
  using Clock = std::chrono::steady_clock;

  void tick();  // the thread's loop
  // Puts the roster's orders into the outboxes, and wakes who waits.
  void publish() REQUIRES(mutex_);
  // A join whose task was killed must not make a generation complete.
  void withdraw_gone() REQUIRES(mutex_);
  void throw_if_stopping() const REQUIRES(mutex_);
  void wait_a_moment(Clock::time_point deadline) REQUIRES(mutex_);

  const CoordinatorOptions options_;
  mutable Mutex mutex_;
  ConditionVariable changed_;  // something that a caller waits for
  ConditionVariable ticker_;   // something for the thread
  bool stopping_ GUARDED_BY(mutex_) = false;
  Roster roster_ GUARDED_BY(mutex_);
  Bulletin bulletin_ GUARDED_BY(mutex_);
  int64_t bulletin_generation_ GUARDED_BY(mutex_) = 0;
  std::map<Roster::Ticket, const CallerGone*> joining_ GUARDED_BY(mutex_);
  std::map<std::pair<int64_t, int>, std::shared_ptr<Outbox>> outboxes_ GUARDED_BY(mutex_);
  std::string session_ GUARDED_BY(mutex_);  // empty: there was no other
  std::optional<Error> session_over_ GUARDED_BY(mutex_);
  std::vector<std::string> log_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
