// The Directory: which parameter server holds which slot, and what follows when one comes or goes.
//
// A state machine: every call says what happened and when; the view that follows is read, and lines
// for people are kept until they are taken. No clock, thread or network of its own. Not
// thread-safe: whoever owns it holds a lock.
//
// Promises. A slot's primary changes to its backup only, and only to one that is in sync; else the
// slot waits for the server that was its primary, which begins from its last snapshot. A server
// that was given up is never obeyed again: it comes back as another incarnation. A server that is
// only silent is given up when that loses nothing, that is, when all its slots have another
// replica; else it takes the end of its connection.
//
// A server that comes back says which snapshots it has. When a slot that waits for it has none,
// what the slot had is lost: then no view gives the slot to anybody, and whoever owns this
// directory begins with a new one, as all tasks of the job begin again.
//
// A virtual shard moves in two views: one says that it is on its way, the second that it is there.
// It is said to be there only when the slot's primary has said that the other slot has all of it,
// and both have been what they were since the first view; else it stays, and is tried again.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "distributed/cluster/server_limit.h"
#include "distributed/coordination/launchers.h"
#include "distributed/coordination/server_view.h"

namespace trireme {

inline constexpr int kMaxServers = kMostServers;
// How many virtual shards a job has; each server holds one at least. ps/table/shard_map.h, which
// this folder may not include, says the same; ps/client checks it.
constexpr int directory_shards(int servers) {
  return servers <= 64 ? 64 : static_cast<int>(std::bit_ceil(static_cast<unsigned>(servers)));
}

// Where there are more shards than 64, no more of them go to one slot.
inline constexpr int kMostShardsInSlot = 6;

struct DirectoryOptions {
  // A server that has not been heard of for so long is given up; when a task has said that it does
  // not answer, so long after that.
  std::chrono::milliseconds silence{2'000};
  std::chrono::milliseconds silence_when_suspected{1'000};
  // A slot whose backup does not come back for so long gets another one, where there are more
  // servers.
  std::chrono::milliseconds patience{10'000};
  // A server without another replica that has not been heard of for so long hangs: it is replaced.
  // Longer than `silence`, because what it did since its last snapshot goes with it.
  std::chrono::milliseconds hung_after{60'000};
  // Starts a server again that hangs: see Launchers::replace(). Null: nobody can.
  std::function<bool(const HungTask&)> replace;
};

class Directory {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What a job has; all tasks must say the same.
  struct Job {
    int servers = 0;
    int replicas = 1;
    bool operator==(const Job&) const = default;
  };

  // What a server could go on from.
  struct Snapshot {
    int slot = 0;
    int64_t step = 0;
    std::chrono::milliseconds age{0};
  };

  explicit Directory(DirectoryOptions options = {});

  // Any task. Throws Error{kInvalidArgument} when the job cannot be, or another task said
  // otherwise.
  void check(const Job& job);

  // A server comes. One with the same index that is there still, with an older incarnation, is
  // gone. Throws Error{kInvalidArgument} for an index that the job does not have,
  // Error{kDeadlineExceeded} for an incarnation that was given up or is older than the one known.
  // REQUIRES: check() has passed.
  // `snapshots`: what it has for slots of this job.
  void attend(ServerEntry server, Time now, const std::vector<Snapshot>& snapshots = {});
  void beat(int index, uint64_t incarnation, Time now);
  // The primary of a slot says that it has nothing to go on from.
  void state_is_lost(int index, uint64_t incarnation, int slot, int64_t epoch,
                     const std::string& why);
  // Its connection has ended; `goodbye`: on purpose.
  void detach(int index, uint64_t incarnation, bool goodbye, Time now);
  void suspect(int index, Time now);
  // See DirectoryClient::backup_is_in_sync(). `index`, `incarnation`: of who says it.
  void backup_is_in_sync(int index, uint64_t incarnation, int slot, int64_t epoch,
                         uint64_t backup_incarnation);
  // Wants a virtual shard in another slot, when those before it are done and, with two replicas,
  // both slots are on two servers. Returns a ticket. Throws Error{kInvalidArgument} for what there
  // is not, kUnavailable while the servers have not come.
  int64_t move_shard(int shard, int to);
  // What became of it: nothing yet; an empty text: it is there; else why not.
  std::optional<std::string> outcome(int64_t ticket) const;
  void forget_move(int64_t ticket);  // it stays where it is, unless it is there by now
  // Says the server `index` of a move in the view: see DirectoryClient::shard_moved().
  void shard_moved(int index, uint64_t incarnation, int64_t id, const std::string& error);

  // What time brings. To be called some times a second.
  void tick(Time now);
  // A worker gives the job up when a server is away for so long: what hangs is replaced before
  // that.
  void set_patience_of_workers(std::chrono::milliseconds timeout);

  // All servers are there, and none has been silent for half as long as it takes to be replaced.
  // Else whoever waits may be waiting for one of them.
  bool all_are_heard(Time now) const;

  // This incarnation is the one that counts.
  bool is_alive(int index, uint64_t incarnation) const;
  // The newest. Number 0: not all servers have come yet; `servers` says which.
  const ServerView& view() const { return view_; }
  // Why all tasks must begin again, with another directory; empty: they need not.
  const std::string& lost_state() const { return lost_state_; }
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

 private:
  struct ServerWatch {  // over one server
    bool known = false;
    Time heard{};
    std::optional<Time> suspected;
    bool replaced = false;  // its launcher was asked to start it again
    std::optional<Time> absent_since;
  };

  void begin();
  void lose(int index, const std::string& why, Time now, bool goodbye = false);
  void lose_slot(int slot, int server, Time now);
  void take_waiting_slots(int server, const std::vector<Snapshot>& snapshots);
  void give_backups(int server);
  bool needs_backup() const;
  void note_arrival(int index);
  void excuse(Time::duration since_last_tick, Time now);
  void watch(Time now);
  void find_backups(Time now);
  std::vector<bool> have_another_replica() const;
  std::vector<int64_t> slots_by_server() const;
  void replace(int server, const std::string& why);
  void watch_absent(int server, Time now);
  bool is_whole(int slot) const;
  bool has_room(int slot) const;  // for another virtual shard
  void start_move();
  void stop_move(const std::string& error);
  struct WantedMove {
    int64_t ticket = 0;
    int shard = 0, to = 0;
  };
  void changed();
  std::string name(int index) const;

  DirectoryOptions options_;
  std::optional<Job> job_;
  ServerView view_;
  std::vector<ServerWatch> watches_;  // by server
  std::vector<int> awaited_;          // by slot: who is to be its primary when it has none
  std::vector<Time> without_backup_;  // by slot: since when
  std::optional<Time> last_tick_;
  std::deque<WantedMove> wanted_;  // the first one may be in the view
  int64_t tickets_ = 0, moves_ = 0;
  std::map<int64_t, std::string> outcomes_;
  std::string lost_state_;
  std::vector<std::string> log_;
};

}  // namespace trireme
