// A task's connection to the coordinator: joins generations, beats, and hears of faults.
//
// From the first join on a MemberStream with two threads and a connection of its own: one beats
// with the state of the CollectiveWatch, one reads what the coordinator says. The public methods
// belong to one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "distributed/cluster/peer.h"
#include "distributed/connection/pending_stream.h"

namespace trireme {

class CollectiveWatch;

struct JoinRequest {
  int rank = -1;  // wanted; -1: any
  int world_size = 1;
  // What all members must agree on, by the name that an error shows: "version", "job", "graph",
  // "collectives". Compared with the first member's.
  std::map<std::string, std::string> handshake;
  std::string host, host_id;
  int64_t pid = 0;
  std::string address;       // of its data server
  int64_t progress = 0;      // steps finished; the most advanced member gives its state to the rest
  std::string gave_up;       // why this member left a generation that runs; for people
  uint64_t incarnation = 0;  // differs for each start of a task; a stale one is refused
  std::string session;       // that the task belongs to; empty: any. The client fills it in.
  // As when this task became a member; `handshake` does not count then. The client fills it in.
  bool same_handshake = false;
};

// What the coordinator says to any task.
struct Greeting {
  std::chrono::milliseconds join_timeout{0};
  // The id of this launch of the job: checkpoints of another one are not this job's. A task that is
  // started again while the coordinator lives hears the same.
  std::string run;
  // Of the job's parameter servers: another one each time that all tasks have to begin again.
  std::string session;
  // The last step of the session before, as far as any worker has said, until somebody has told
  // what became of it; 0: there was none.
  int64_t reached = 0;
  int64_t lost_steps = 0;  // by parameter servers, since the coordinator began
};

struct Membership {
  Group group;
  // The rank, in this group, with the most progress (the lowest of them), and that progress.
  int state_source = 0;
  int64_t progress = 0;
};

struct ClientOptions {
  std::string address;  // of the coordinator
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  // Tries to connect for so long: tasks start in any order.
  std::chrono::milliseconds connect_timeout{60'000};
  std::chrono::milliseconds heartbeat_interval{200};
  // Asked some times a second while connecting and joining, from any thread; true: they throw
  // Error{kCancelled}. Null: they wait to the end.
  std::function<bool()> give_up = nullptr;
  // The signal that told this task to stop; 0: none has. Asked with each beat, from any thread, and
  // told to the coordinator, which stops the job. Null: none ever does.
  std::function<int()> stop_signal = nullptr;
};

class CoordinatorClient {
 public:
  // Throws Error{kUnavailable} naming the address when nobody answers in time, kInvalidArgument
  // when its host name does not resolve until then.
  explicit CoordinatorClient(ClientOptions options);
  ~CoordinatorClient();  // says goodbye: not a loss
  CoordinatorClient(const CoordinatorClient&) = delete;

  Greeting hello();

  // Waits for the next generation. Throws Error{kUnavailable} when all tasks have to begin again
  // since this client said hello() or joined first. Throws Error{kInvalidArgument} when refused
  // (secret, version, another graph, a rank that is taken), with the coordinator's sentence, and
  // kDeadlineExceeded naming who has not come. Of a large group, names, pids and addresses of peers
  // are not known before Group::look_up is asked; `host_id`s tell only who shares a host.
  Membership join(const JoinRequest& request);

  // From joining until the next join: `watch` is sent with each beat, and `on_fault` is called,
  // once for a generation and from the reading thread, when it has ended: a member was lost
  // (kUnavailable), a collective timed out (kDeadlineExceeded), a new member waits to be let in
  // (kCancelled), the coordinator itself is gone (kUnavailable).
  void attend(std::shared_ptr<const CollectiveWatch> watch,
              std::function<void(const Error&)> on_fault);
  // Says that this task cannot do its part, and that no restart mends that: all tasks of the job
  // get `error`. Also before joining.
  void fail_job(const Error& error);
  // Tells the coordinator that a peer failed, as this member sees it; ends the generation for all.
  void report_fault(const Error& error);

  // Waits until all members of the generation have called it with this name. Throws
  // kDeadlineExceeded naming the ranks that have not.
  void barrier(const std::string& name, std::chrono::milliseconds timeout);
  void put(const std::string& key, const std::string& value);
  // Waits for the key. Throws kDeadlineExceeded naming it.
  std::string get(const std::string& key, std::chrono::milliseconds timeout);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
