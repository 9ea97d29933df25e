// A task's line to the directory of parameter servers, which the coordinator holds: servers
// announce themselves, and everybody hears of each new view.
//
// One thread of its own reads what the directory says. The methods may be called from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/directory.h"
#include "distributed/coordination/server_view.h"
#include "distributed/coordination/worker_monitor.h"

namespace trireme {

struct DirectoryClientOptions {
  std::string address;  // of the coordinator
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  // Who this is. A server says where it can be reached; a worker only watches.
  bool is_server = false;
  int index = 0;  // among the servers, or among the workers
  uint64_t incarnation = 0;
  std::string server_address, host, shared_memory_host;
  int servers = 0;   // that the job has; 0, for one who only watches: whatever it has
  int replicas = 1;  // 1 or 2
  // Of a server: what it could go on from, of the session that CoordinatorClient::hello() says.
  std::string session;
  std::vector<Directory::Snapshot> snapshots;
  // Of a worker: the step up to which all slots have acknowledged its pushes. Called on a thread of
  // this client, some times a second. Null: it says nothing.
  std::function<int64_t()> step;
  std::chrono::milliseconds connect_timeout{60'000};
  // Of a worker: it gives the job up when a server is away for so long. 0: it does not say.
  std::chrono::milliseconds patience{0};
  // As in ClientOptions.
  std::function<int()> stop_signal = nullptr;
  // Of a worker: what it does. Asked with each beat, from any thread. Null: it does not say, and
  // hangs only when it is silent.
  std::function<WorkerState()> state = nullptr;
  // Called on the reading thread for each view, the first included; must not block.
  std::function<void(const ServerView&)> on_view;
  // Called once, on the reading thread: the coordinator has ended, so the job is over (kCancelled);
  // the connection to it is lost for good (kUnavailable: a restart may help); it has given this
  // server's slots to others because it was silent for too long or another one has its index
  // (kDeadlineExceeded: a restart helps); it refuses this task (kInvalidArgument). Or the job has
  // failed: the error of the task that ended it.
  std::function<void(const Error&)> on_lost;
  // Called in its place, with kUnavailable, when the state of the tables is lost: all tasks of the
  // job begin again, as they do when they are restarted. Null: on_lost is called.
  std::function<void(const Error&)> on_begin_again;
};

class DirectoryClient {
 public:
  // Throws Error{kUnavailable} when nobody answers in time, kInvalidArgument when refused.
  explicit DirectoryClient(DirectoryClientOptions options);
  ~DirectoryClient();  // says goodbye: not a loss
  DirectoryClient(const DirectoryClient&) = delete;

  ServerView view() const;  // the newest
  int workers() const;      // that are connected, as far as is known here
  // Waits for a view with this number or a later one in which every slot has a primary. Throws
  // kDeadlineExceeded naming the servers that have not come.
  ServerView wait_for_view(int64_t at_least, std::chrono::milliseconds timeout) const;

  // Of a primary: the backup of this incarnation has all that the slot's log says, and the log
  // waits for it from now on. Ignored when the view has another by now.
  void backup_is_in_sync(int slot, int64_t epoch, uint64_t backup_incarnation);
  // Of a primary: it has nothing to go on from. All tasks begin again.
  void state_is_lost(int slot, int64_t epoch, const std::string& why);
  // So many steps that a worker was acknowledged are not in the slot since this epoch; −1: in none.
  void lost_steps(int slot, int64_t epoch, int64_t steps);
  // What this task saw: server `index` does not answer. The directory decides, by whether it hears
  // of it itself.
  void suspect(int index);

  // Of the primary of the slot that a virtual shard leaves, by the view's move with this id: all of
  // it is in the other slot; or why it is not.
  void shard_moved(int64_t id, const std::string& error);
  // Wants a virtual shard in another slot; returns when it is there. Throws Error{kFailed} saying
  // why it stays, kDeadlineExceeded when it has not come in time: it stays then, too.
  void move_shard(int shard, int to, std::chrono::milliseconds timeout);

  // Adds `values` over all workers of the job, in the order of their ranks; returns when all have
  // called it with this name. A worker that calls again with the same name gets the same sums.
  // Throws kDeadlineExceeded naming the ranks that are missing. `give_up`: asked some times a
  // second; the error that the wait ends with.
  void sum(const std::string& name, int workers, std::span<double> values,
           std::chrono::milliseconds timeout,
           const std::function<std::optional<Error>()>& give_up = nullptr);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
