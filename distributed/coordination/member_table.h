// The MemberTable: who is in the job. It takes joins, forms generations, and ends them.
//
// A state machine: every call says what happened and when, and what follows from it (answers to
// those who join, orders to members, lines for people) is kept until it is taken. No clock, thread
// or network of its own. Not thread-safe: whoever owns it holds a lock.
//
// What happens to each of n members in turn (a join, a beat, a loss, an answer) takes a time that
// does not grow with n; what grows with n happens once for a generation or a tick.
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
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/coordination/lateness.h"
#include "distributed/coordination/stall_detector.h"

namespace trireme {

class MemberTable {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Ticket = uint64_t;
  // A member's own part of a Membership; the peers are the same for all.
  struct Place {
    int64_t generation = 0;
    int rank = 0;
    int state_source = 0;
    int64_t progress = 0;
  };
  using Answer = std::variant<Place, Error>;
  struct Order {
    int64_t generation = 0;
    int rank = 0;
    std::optional<Error> fault;  // the generation has ended; none: `stall` is for the log
    std::string stall;
  };

  explicit MemberTable(const CoordinatorOptions& options);

  // A task wants to be a member. `task` is the same each time that the same task joins.
  Ticket join(JoinRequest request, uint64_t task, Time now);
  // The answer to a join, once; nothing while it must wait.
  std::optional<Answer> take_answer(Ticket ticket);
  // All that have not been taken.
  std::map<Ticket, Answer> take_answers() { return std::exchange(answers_, {}); }
  // Its caller is gone.
  void withdraw(Ticket ticket);

  // A member's first beat shows that its place has reached it. `late`: how much later than they
  // should this member's threads run.
  void beat(int64_t generation, int rank, const MemberBeat& beat, Time now,
            std::chrono::milliseconds late = {});
  // A member says that a peer failed. It counts unless a connection ends just then: that tells
  // more than how others saw it.
  void report(int64_t generation, int rank, const Error& error, Time now);
  // All tasks are to begin again: the generation that runs ends, and so do all joins that wait,
  // with this error. Tasks that come later are welcome.
  void begin_again(const Error& why, Time now);
  // Goodbye: not a loss.
  void leave(int64_t generation, int rank);
  // A member's line ended without a goodbye.
  void detach(int64_t generation, int rank, Time now);
  // A task that is no member cannot do its part, and no restart mends that: whoever waits or comes
  // later gets `error`. A generation that runs goes on.
  void fail(const Error& error);
  // What time brings. To be called often, also when nothing happens.
  void tick(Time now);

  std::vector<Order> take_orders() { return std::exchange(orders_, {}); }
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

  int64_t generation() const { return generation_; }  // that runs, or ran last; 0: none yet
  bool is_running() const { return running_; }
  int members() const { return running_ ? alive_ : 0; }  // of the generation that runs
  // The peers of the generation that runs or ran last, by rank.
  std::vector<Peer> peers() const;
  int size() const { return static_cast<int>(members_.size()); }
  // REQUIRES: 0 <= rank < size().
  const Peer& peer(int rank) const { return members_[static_cast<size_t>(rank)].peer; }
  // Why `generation` is over; nothing when it runs.
  std::optional<Error> ended(int64_t generation) const;

 private:
  enum class State { kExpected, kAttending, kLeft, kLost };
  struct Member {
    Peer peer;
    int home = 0;
    uint64_t task = 0;
    uint64_t incarnation = 0;
    State state = State::kExpected;     // kExpected: it has not said that it knows its place
    std::chrono::milliseconds late{0};  // see beat()
    bool back = false;                  // its task waits for the next generation
    bool named = false;                 // by the report that ended the generation
    bool replaced = false;              // its launcher was asked to start it again
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
  std::string handshake_difference(const std::string& who, const JoinRequest& request) const;
  void settle_claims(Time now);
  Claimed check_claim(const Claim& claim, Time now, std::vector<Time>* proofs,
                      std::string* why) const;
  Claimed check_any_claim(const Claim& claim, Time now, std::vector<Time>* proofs) const;
  std::vector<Time> proofs_of_life(Time now) const;
  void accept(Ticket ticket, Waiting waiting, Time now);
  // The only ways in and out of waiting_.
  void start_waiting(Ticket ticket, Waiting waiting);
  void stop_waiting(Ticket ticket);
  void stop_all_waiting();
  void answer_all(const Error& error);  // all that wait, or claim
  // forming
  void admit(Time now);
  void form_if_complete(Time now);
  bool may_form(Time now);
  void give_homes();
  void form(Time now);
  void forget_tasks();
  void expire_joins(Time now);
  std::vector<int> missing_homes() const;
  void note_waiting();
  // ending
  Member* find(int64_t generation, int rank);
  const Member* member_of(uint64_t task) const;  // of the generation that runs or ran last
  const Member* member_at(int home) const;
  void set_state(Member& member, State state);
  void lose(const std::vector<int>& ranks, const std::string& why, Time now);
  void end(const Error& cause, Time now, bool a_task_died = false);
  void check_members(Time now);
  void check_stalls(Time now);
  // How much later than it should the machine lets its tasks be heard of.
  std::chrono::milliseconds slowness(Time now) const;
  // hung
  void note_tick(Time now);
  void check_return(Time now);
  void replace(Member& member, const std::string& why, Time now);
  bool replace_missing(const std::string& why);

  const CoordinatorOptions options_;
  const std::chrono::milliseconds silence_;  // without a beat for so long: missing
  StallDetector detector_;
  Ticket next_ticket_ = 1;
  std::map<Ticket, Claim> claims_;
  std::map<Ticket, Waiting> waiting_;
  std::unordered_map<uint64_t, Ticket> waiting_tasks_;  // of waiting_
  std::unordered_map<int, Ticket> waiting_homes_;       // of waiting_, where not any
  std::optional<Time> waiting_since_;                   // since when somebody waits
  std::map<Ticket, Answer> answers_;
  std::optional<std::map<std::string, std::string>> handshake_;  // of the job
  std::map<int, uint64_t> incarnations_;                         // the latest, by home
  std::unordered_map<uint64_t, int> homes_;                      // by task

  int64_t generation_ = 0;
  bool running_ = false;
  std::vector<Member> members_;  // of the generation that runs or ran last, by rank and by home
  std::unordered_map<uint64_t, int> ranks_;  // of members_, by task
  int alive_ = 0;                            // of members_
  int back_ = 0;                             // of members_
  int alive_back_ = 0;                       // both
  Time formed_, ended_;
  std::optional<Time> last_tick_;
  Lateness lateness_;
  // Generations in a row that ended though no task had died, and before a step was finished.
  int fruitless_ = 0;
  int64_t progress_ = 0;             // steps finished when the last generation began
  std::map<int64_t, Error> causes_;  // of the generations that ended last
  struct Reported {
    Error error;
    Time at;
    int others = 0;  // that have reported since
  };
  std::optional<Reported> reported_;
  std::optional<Error> failed_;  // the job's error

  std::vector<Order> orders_;
  std::vector<std::string> log_;
};

}  // namespace trireme
