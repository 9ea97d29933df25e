// The CoordinatorState: the MemberTable and the JobStore behind a lock, and whoever waits for them.
//
// Nothing here waits: what somebody waits for is delivered when it happens, by whoever caused it,
// with the lock released; or at its deadline, by a thread of its own, which also lets
// time pass and is the only one that writes to the log. All methods may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/coordination/job_store.h"
#include "distributed/coordination/member_table.h"

namespace trireme {

namespace coordination {
class MembershipMessage;
class Order;
}  // namespace coordination

// A worker's line, on the coordinator's side.
class MemberConnection {
 public:
  virtual ~MemberConnection() = default;
  // Takes what is to be sent, in order, without sending it. Called with the lock of the
  // coordinator's state held.
  virtual void enqueue(coordination::Order order) = 0;
  // Takes a sign of life, unless there is something to be sent anyway.
  virtual void enqueue_sign_of_life() = 0;
  // Sends what was taken. No lock is held.
  virtual void send() = 0;
  // Ends the line when all is sent.
  virtual void close() = 0;

 private:
  friend class CoordinatorState;
  // Under the lock of the coordinator's state.
  int64_t generation = 0;          // that it is, or was, a member of
  int rank = -1;                   // in it
  MemberTable::Ticket ticket = 0;  // of a join that is not answered; 0: none
  uint64_t task = 0;               // that joined first
  std::string who = "a task";      // for people
  bool told_to_stop = false;
};

class CoordinatorState {
 public:
  // What a call that waits ends with; called once, without a lock held.
  using Done = std::function<void(std::optional<Error>)>;
  using Got = std::function<void(std::optional<Error>, std::string value)>;
  using WaitId = uint64_t;

  explicit CoordinatorState(CoordinatorOptions options);
  ~CoordinatorState();  // stop()
  // Ends all lines and waits, these with kUnavailable.
  void stop() EXCLUDES(mutex_);

  // Ends the generation that runs, and the waits of those who want to be in the next one. Tasks of
  // another session than this are refused with `why` from now on.
  void begin_again(const std::string& session, const Error& why) EXCLUDES(mutex_);

  // A line begins. Throws Error{kUnavailable} after stop().
  void attach(const std::shared_ptr<MemberConnection>& line) EXCLUDES(mutex_);
  // The answer is an order. Throws Error{kInvalidArgument} when another task has joined over the
  // line.
  void join(const std::shared_ptr<MemberConnection>& line, JoinRequest request, uint64_t task)
      EXCLUDES(mutex_);
  void beat(const std::shared_ptr<MemberConnection>& line, int64_t generation,
            const MemberBeat& beat, std::chrono::milliseconds late) EXCLUDES(mutex_);
  void report(MemberConnection& line, int64_t generation, const Error& error) EXCLUDES(mutex_);
  // A member was told by a signal to stop.
  void told_to_stop(MemberConnection& line, int signal) EXCLUDES(mutex_);
  void leave(MemberConnection& line) EXCLUDES(mutex_);
  // The line ended, after a goodbye or without.
  void detach(const std::shared_ptr<MemberConnection>& line) EXCLUDES(mutex_);
  // See MemberTable::fail().
  void fail(const Error& error) EXCLUDES(mutex_);
  int told_of_failure() const EXCLUDES(mutex_);  // how many joins were refused, and this:
  void count_told_of_failure() EXCLUDES(mutex_);

  // Members of `generation`. Throws what ended it when it does not run, Error{kInvalidArgument} for
  // a rank that is none.
  std::vector<Peer> peers(int64_t generation, const std::vector<int>& ranks) const EXCLUDES(mutex_);

  // `done`, also with what is wrong with the call: nothing is thrown.
  WaitId barrier(int64_t generation, int rank, const std::string& name,
                 std::chrono::milliseconds timeout, Done done) EXCLUDES(mutex_);
  void put(const std::string& key, std::string value) EXCLUDES(mutex_);
  WaitId get(const std::string& key, std::chrono::milliseconds timeout, Got got) EXCLUDES(mutex_);
  // Its caller is gone. Nothing when the wait is over.
  void give_up(WaitId id) EXCLUDES(mutex_);

  int64_t generation() const EXCLUDES(mutex_);
  int members() const EXCLUDES(mutex_);
  const CoordinatorOptions& options() const { return options_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Wait {
    int64_t generation = 0;  // of a barrier; 0: it waits for a key
    int rank = 0;
    std::string name;  // of the barrier or key
    int64_t round = 0;
    std::chrono::milliseconds timeout{0};
    Clock::time_point deadline;
    Got got;
  };
  using Waits = std::map<WaitId, Wait>;
  // What happens when the lock is released: made before it is taken.
  class Deliveries {
   public:
    Deliveries() = default;
    Deliveries(const Deliveries&) = delete;
    ~Deliveries();
    void add(std::shared_ptr<MemberConnection> line) { lines_.push_back(std::move(line)); }
    void add(Wait wait, std::optional<Error> error, std::string value = "") {
      ends_.push_back({std::move(wait.got), std::move(error), std::move(value)});
    }

   private:
    struct End {
      Got got;
      std::optional<Error> error;
      std::string value;
    };
    std::vector<std::shared_ptr<MemberConnection>> lines_;
    std::vector<End> ends_;
  };

  void tick();  // the thread's loop
  // Hands out what the member table has to say, and ends what waits for what is over.
  void publish(Deliveries& deliveries) REQUIRES(mutex_);
  void publish_orders(Deliveries& deliveries, std::vector<MemberTable::Order> orders)
      REQUIRES(mutex_);
  void publish_answers(Deliveries& deliveries) REQUIRES(mutex_);
  void begin_generation() REQUIRES(mutex_);
  void end_barriers(Deliveries& deliveries) REQUIRES(mutex_);
  void expire_waits(Deliveries& deliveries, Clock::time_point now) REQUIRES(mutex_);
  WaitId add_wait(Wait wait) REQUIRES(mutex_);
  // Takes the wait out; the caller delivers.
  Wait take_wait(Waits::iterator entry) REQUIRES(mutex_);
  Error late(const Wait& wait) const REQUIRES(mutex_);
  void refuse(Deliveries& deliveries, const std::shared_ptr<MemberConnection>& line,
              const Error& error) REQUIRES(mutex_);
  Error stopping() const;
  void withdraw(MemberConnection& line) REQUIRES(mutex_);

  const CoordinatorOptions options_;
  mutable Mutex mutex_;
  ConditionVariable ticker_;  // something for the thread
  bool stopping_ GUARDED_BY(mutex_) = false;
  MemberTable member_table_ GUARDED_BY(mutex_);
  JobStore job_store_ GUARDED_BY(mutex_);
  std::unordered_map<MemberConnection*, std::shared_ptr<MemberConnection>> lines_
      GUARDED_BY(mutex_);
  std::unordered_map<MemberTable::Ticket, std::shared_ptr<MemberConnection>> joining_
      GUARDED_BY(mutex_);
  // Of the generation that runs or ran last.
  int64_t generation_ GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<MemberConnection>> members_ GUARDED_BY(mutex_);  // by rank
  std::unique_ptr<coordination::MembershipMessage> group_ GUARDED_BY(mutex_);
  WaitId last_wait_ GUARDED_BY(mutex_) = 0;
  Waits waits_ GUARDED_BY(mutex_);
  // Of waits_.
  std::set<std::pair<Clock::time_point, WaitId>> deadlines_ GUARDED_BY(mutex_);
  std::map<std::string, std::set<WaitId>> barriers_ GUARDED_BY(mutex_), keys_ GUARDED_BY(mutex_);
  std::string session_ GUARDED_BY(mutex_);  // empty: there was no other
  std::optional<Error> session_over_ GUARDED_BY(mutex_);
  int told_of_failure_ GUARDED_BY(mutex_) = 0;
  std::vector<std::string> log_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
