// The Roster: who is in the job. It takes joins, forms generations, and ends them.
//
// A state machine: every call says what happened and when, and what follows from it (answers to
// those who join, orders to members, lines for people) is kept until it is taken. No clock, thread
// or network of its own. Not thread-safe: whoever owns it holds a lock.
//
// A task has a home: the rank that it wanted, or was given, when it came first. It keeps its home
// for the life of the job; its rank in a generation is its place among the homes that are there. A
// task that starts again takes over the home that it wants, when the task that had it is gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/coordination/stall_detector.h"

namespace trireme {

class Roster {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Ticket = uint64_t;
  using Answer = std::variant<Membership, Error>;
  struct Order {
    int64_t generation = 0;
    int rank = 0;
    std::optional<Error> fault;  // the generation has ended; none: `stall` is for the log
    std::string stall;
  };

  explicit Roster(const CoordinatorOptions& options);

  // A task wants to be a member. `task` is the same each time that the same task joins.
  Ticket join(JoinRequest request, uint64_t task, Time now);
  // The answer to a join, once; nothing while it must wait.
  std::optional<Answer> take_answer(Ticket ticket);
  // Its caller is gone.
  void withdraw(Ticket ticket);

  // A member whose stream has not begun.
  bool is_expected(int64_t generation, int rank) const;
  // A member's stream begins. Throws Error{kInvalidArgument} when there is no such member, or it
  // has one already. When the generation has ended, the member is told so by an order.
  void attend(int64_t generation, int rank, Time now);
  void beat(int64_t generation, int rank, const MemberBeat& beat, Time now);
  // A member says that a peer failed. It counts unless a connection ends just then: that tells
  // more than how others saw it.
  void report(int64_t generation, int rank, const Error& error, Time now);
  // All tasks are to begin again: the generation that runs ends, and so do all joins that wait,
  // with this error. Tasks that come later are welcome.
  void begin_again(const Error& why, Time now);
  // Goodbye: not a loss.
  void leave(int64_t generation, int rank);
  // A member's stream, or the call by which it joined, ended without a goodbye.
  void detach(int64_t generation, int rank, Time now);
  // A task that is no member cannot do its part, and no restart mends that: whoever waits or comes
  // later gets `error`. A generation that runs goes on.
  void fail(const Error& error);
  // What time brings. To be called often, also when nothing happens.
  void tick(Time now);

  std::vector<Order> take_orders() { return std::exchange(orders_, {}); }
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

  int64_t generation() const { return generation_; }  // that runs, or ran last; 0: none yet
  int members() const;                                // of the generation that runs
  // The peers of the generation that runs or ran last, by rank.
  std::vector<Peer> peers() const;
  // Why `generation` is over; nothing when it runs.
  std::optional<Error> ended(int64_t generation) const;

 private:
  enum class State { kExpected, kAttending, kLeft, kLost };
  struct Member {
    Peer peer;
    int home = 0;
    uint64_t task = 0;
    uint64_t incarnation = 0;
    State state = State::kExpected;  // kExpected: its stream has not begun
    bool named = false;              // by the report that ended the generation
    bool replaced = false;           // its launcher was asked to start it again
    bool alive() const { return state == State::kExpected || state == State::kAttending; }
  };
  struct Waiting {
    JoinRequest request;
    uint64_t task = 0;
    int home = -1;  // -1: any
  };

  // A task in order, whose place may still be held by one that has died.
  struct Claim {
    Waiting waiting;
    Time at;
  };
  enum class Claimed { kFree, kUndecided, kTaken };

  // joining
  std::optional<std::string> refusal(const JoinRequest& request, uint64_t task, int* home) const;
  void settle_claims(Time now);
  Claimed check_claim(const Claim& claim, Time now, std::string* why) const;
  bool is_member(uint64_t task) const;
  void accept(Ticket ticket, const Waiting& waiting, Time now);
  // forming
  bool everyone_is_back() const;
  void admit(Time now);
  void form_if_complete(Time now);
  bool may_form(Time now);
  void give_homes();
  void form(Time now);
  void expire_joins(Time now);
  std::vector<int> missing_homes() const;
  void note_waiting();
  // ending
  Member* find(int64_t generation, int rank);
  void lose(Member& member, const std::string& why, Time now);
  void end(const Error& cause, Time now, bool a_task_died = false);
  void check_members(Time now);
  void check_stalls(Time now);
  // hung
  void excuse_pause(Time now);
  void check_return(Time now);
  void replace(Member& member, const std::string& why, Time now);
  bool replace_missing(const std::string& why);

  const CoordinatorOptions options_;
  StallDetector detector_;
  Ticket next_ticket_ = 1;
  std::map<Ticket, Claim> claims_;
  std::map<Ticket, Waiting> waiting_;
  std::optional<Time> waiting_since_;  // since when somebody waits
  std::map<Ticket, Answer> answers_;
  std::optional<std::map<std::string, std::string>> handshake_;  // of the job
  std::map<int, uint64_t> incarnations_;                         // the latest, by home
  std::map<uint64_t, int> homes_;                                // by task

  int64_t generation_ = 0;
  bool running_ = false;
  std::vector<Member> members_;  // of the generation that runs or ran last, by rank
  Time formed_, ended_;
  std::optional<Time> last_tick_;
  // Generations in a row that ended though no task had died, and before a step was finished.
  int fruitless_ = 0;
  int64_t progress_ = 0;             // steps finished when the last generation began
  std::map<int64_t, Error> causes_;  // of the generations that ended last
  struct Reported {
    Error error;
    Time at;
  };
  std::optional<Reported> reported_;
  std::optional<Error> failed_;  // the job's error

  std::vector<Order> orders_;
  std::vector<std::string> log_;
};

}  // namespace trireme
