// A MemberStream: a worker's line to the coordinator, over which it joins one generation after the
// other, beats, and hears what the coordinator says. It has a connection of its own, so that no
// other call delays a beat.
//
// Two threads, "beat" and "orders", which do nothing else: a task that computes does not keep them
// from running, and how late they run is told with each beat. Methods may be called from any
// thread, join() from one at a time, and neither the destructor nor join() from on_fault.
// Destroying it ends the stream; unless leave() came before, the coordinator takes the member for
// lost, if its generation still runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/coordination/lateness.h"

namespace grpc {
class Channel;
}

namespace trireme {

namespace coordination {
class JoinMessage;
class MembershipMessage;
}  // namespace coordination

struct MemberStreamOptions {
  std::string address;                                // of the coordinator
  std::chrono::milliseconds heartbeat_interval{200};  // longer in a large group
  std::chrono::milliseconds silence_timeout{60'000};  // of the coordinator, until it says another
  std::function<bool()> give_up;                      // see ClientOptions
  std::function<int()> stop_signal;                   // see ClientOptions
};

class MemberStream {
 public:
  MemberStream(std::shared_ptr<grpc::Channel> channel, MemberStreamOptions options);
  ~MemberStream();
  MemberStream(const MemberStream&) = delete;

  // Waits to be a member of the next generation. Throws the coordinator's refusal,
  // Error{kUnavailable} when the coordinator is gone, kCancelled when `give_up` says so; the stream
  // is of no use after the last two.
  Membership join(const JoinRequest& request, uint64_t task);
  // It has ended, and cannot be used again.
  bool is_over() const EXCLUDES(mutex_);

  // From now on, until the next join, beats carry the state of `watch`. `on_fault` is called once,
  // from the thread "orders", also when the generation had ended before this call.
  void set(std::shared_ptr<const CollectiveWatch> watch, std::function<void(const Error&)> on_fault)
      EXCLUDES(mutex_);
  void report(const Error& error) EXCLUDES(mutex_);
  // Says goodbye and waits, for a moment only, until the coordinator has heard it.
  void leave() EXCLUDES(mutex_);

  int64_t generation() const EXCLUDES(mutex_);  // that was joined last; 0: none
  int rank() const EXCLUDES(mutex_);            // in it
  // How late this process's threads run: what else it waits for may be late by more.
  std::chrono::milliseconds lateness() const EXCLUDES(mutex_);

 private:
  class Call;
  using Clock = std::chrono::steady_clock;

  void beat();         // thread
  void read_orders();  // thread
  // Whether there is something to say before the next beat is due.
  bool must_send() const REQUIRES(mutex_);
  // Says the one thing that is next; false when it was the last.
  bool send_next() EXCLUDES(mutex_);
  void become_member(const coordination::MembershipMessage& message) EXCLUDES(mutex_);
  void answer(std::variant<Membership, Error> answer) REQUIRES(mutex_);
  void deliver(const Error& fault) EXCLUDES(mutex_);
  bool is_given_up() const { return options_.give_up && options_.give_up(); }

  const MemberStreamOptions options_;
  const std::unique_ptr<Call> call_;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::shared_ptr<const CollectiveWatch> watch_ GUARDED_BY(mutex_);
  std::function<void(const Error&)> on_fault_ GUARDED_BY(mutex_);
  bool attending_ GUARDED_BY(mutex_) = false;  // set() was called since the last join
  bool joining_ GUARDED_BY(mutex_) = false;    // join() has no answer yet
  std::unique_ptr<coordination::JoinMessage> request_ GUARDED_BY(mutex_);  // to be sent
  Peer mine_ GUARDED_BY(mutex_);                                           // as it says
  std::map<std::string, std::string> handshake_ GUARDED_BY(mutex_);  // with which it is a member
  std::optional<std::variant<Membership, Error>> answer_ GUARDED_BY(mutex_);
  int64_t generation_ GUARDED_BY(mutex_) = 0;
  int rank_ GUARDED_BY(mutex_) = -1;
  bool acknowledge_ GUARDED_BY(mutex_) = false;  // the membership has arrived: to be said
  std::optional<Error> report_ GUARDED_BY(mutex_);
  bool leaving_ GUARDED_BY(mutex_) = false;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool over_ GUARDED_BY(mutex_) = false;           // nothing more can be read
  std::optional<Error> ended_ GUARDED_BY(mutex_);  // why, once both threads are done with it
  bool silent_ GUARDED_BY(mutex_) = false;         // the coordinator was, for too long
  // Beats since the coordinator was heard of. Time would not do: this process may have been
  // stopped.
  int64_t unanswered_ GUARDED_BY(mutex_) = 0;
  std::chrono::milliseconds interval_ GUARDED_BY(mutex_);
  std::chrono::milliseconds silence_timeout_ GUARDED_BY(mutex_);
  Lateness lateness_ GUARDED_BY(mutex_);
  std::thread beating_, reading_;
};

}  // namespace trireme
