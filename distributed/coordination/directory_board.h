// The DirectoryBoard: the Directory and the Sums behind a lock, with the waiting that they do not
// do.
//
// All methods may be called from any thread; some of them wait, each until its deadline, until its
// caller is gone, or stop(). One thread of its own lets time pass for the directory and is the only
// one that writes to the log.
//
// When the directory says that the state of the tables is lost, the board begins with another one,
// in another session: tasks of the session before are told to end, and count no more.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/coordination/directory.h"
#include "distributed/coordination/sums.h"
#include "distributed/coordination/worker_vigil.h"

namespace trireme {

class DirectoryBoard {
 public:
  // One task's stream.
  struct Watcher {
    bool is_server = false;
    bool is_worker = false;
    int index = 0;
    uint64_t incarnation = 0;

   private:
    friend class DirectoryBoard;
    int64_t session = 0;  // that it came in
    int64_t seen = -1;    // of the revisions
    bool closed = false;  // both under the board's lock
  };

  // Called with a lock held: a new session has begun, and why, which tasks of another are told.
  using BeginsAgain = std::function<void(const std::string& session, const Error& why)>;
  DirectoryBoard(DirectoryOptions options, std::function<void(const std::string&)> log,
                 BeginsAgain begins_again = nullptr);
  ~DirectoryBoard();  // stop()
  void stop() EXCLUDES(mutex_);
  // The job has failed: all tasks get `error`, those that come later, too.
  void fail(const Error& error) EXCLUDES(mutex_);
  std::optional<Error> failure() const EXCLUDES(mutex_);
  int told_of_failure() const EXCLUDES(mutex_);  // how many have got it

  // A task comes: a server, when `server` has a value; else one that watches, who may say nothing
  // of the job (0 servers). Throws as Directory::check() and attend().
  // `snapshots`: what the server could go on from, of the session `of`.
  std::shared_ptr<Watcher> attend(const Directory::Job& job, std::optional<ServerEntry> server,
                                  const std::vector<Directory::Snapshot>& snapshots = {},
                                  const std::string& of = "") EXCLUDES(mutex_);
  // The one who watches is this worker. `patience`: it gives the job up when it has waited for so
  // long; 0: it does not say.
  void attend_worker(Watcher& watcher, int index, uint64_t incarnation,
                     std::chrono::milliseconds patience) EXCLUDES(mutex_);
  // `state`: of a worker.
  void beat(const Watcher& watcher, const WorkerState& state) EXCLUDES(mutex_);
  void suspect(int index) EXCLUDES(mutex_);
  void backup_is_in_sync(const Watcher& watcher, int slot, int64_t epoch,
                         uint64_t backup_incarnation) EXCLUDES(mutex_);
  void shard_moved(const Watcher& watcher, int64_t id, const std::string& error) EXCLUDES(mutex_);
  void state_is_lost(const Watcher& watcher, int slot, int64_t epoch, const std::string& why)
      EXCLUDES(mutex_);
  // What a worker says: it has finished `step`. What a task says: a slot has lost steps.
  void note_step(const Watcher& watcher, int64_t step) EXCLUDES(mutex_);
  void note_lost_steps(const Watcher& watcher, int slot, int64_t epoch, int64_t steps)
      EXCLUDES(mutex_);
  void detach(Watcher& watcher, bool goodbye) EXCLUDES(mutex_);

  std::string session() const EXCLUDES(mutex_);  // another one for each session of each board
  // The last step of the session before, as far as its workers have said; 0: there was none, or
  // note_lost_steps() has told of it since.
  int64_t reached() const EXCLUDES(mutex_);
  int64_t lost_steps() const EXCLUDES(mutex_);  // of all sessions

  // Waits for a view that the watcher has not had. Nothing: it is over, after detach(), stop() or
  // because the server was given up.
  std::optional<ServerView> next(Watcher& watcher) EXCLUDES(mutex_);
  bool given_up(const Watcher& watcher) const EXCLUDES(mutex_);
  // Why the watcher's session has ended; empty: it has not.
  std::string begin_again(const Watcher& watcher) const EXCLUDES(mutex_);
  bool is_over() const EXCLUDES(mutex_);  // after stop()
  int workers() const EXCLUDES(mutex_);   // that attend; bystanders do not count

  // See DirectoryClient::sum(). `session`: the caller's; empty: this one.
  std::vector<double> sum(const std::string& name, int worker, int workers,
                          std::span<const double> values, std::chrono::milliseconds timeout,
                          const std::function<bool()>& caller_gone, const std::string& session = "")
      EXCLUDES(mutex_);

  // See DirectoryClient::move_shard().
  void move_shard(int shard, int to, std::chrono::milliseconds timeout,
                  const std::function<bool()>& caller_gone) EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  void tick();  // the thread's loop
  void publish() REQUIRES(mutex_);
  void watch_workers() REQUIRES(mutex_);
  bool given_up_now(const Watcher& watcher) const REQUIRES(mutex_);
  bool is_current(const Watcher& watcher) const REQUIRES(mutex_) {
    return watcher.session == session_;
  }
  std::string session_name(int64_t session) const { return str_cat(id_, ".", session); }
  void begin_session() REQUIRES(mutex_);
  Error session_over() const REQUIRES(mutex_);

  const DirectoryOptions options_;
  const std::function<void(const std::string&)> log_;
  const BeginsAgain begins_again_;
  const std::string id_;
  const std::chrono::milliseconds hung_after_;
  mutable Mutex mutex_;
  ConditionVariable changed_;  // something that a caller waits for
  ConditionVariable ticker_;   // something for the thread
  bool stopping_ GUARDED_BY(mutex_) = false;
  Directory directory_ GUARDED_BY(mutex_);
  WorkerVigil vigil_ GUARDED_BY(mutex_);
  std::optional<Clock::time_point> last_tick_ GUARDED_BY(mutex_);
  // Since when somebody waits for them.
  std::map<std::string, Clock::time_point> awaited_sums_ GUARDED_BY(mutex_);
  Sums sums_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  int told_of_failure_ GUARDED_BY(mutex_) = 0;
  int workers_ GUARDED_BY(mutex_) = 0;
  int64_t revision_ GUARDED_BY(mutex_) = 0;  // counts what happens before the first view, too
  int64_t session_ GUARDED_BY(mutex_) = 0;   // counts them
  std::string why_ GUARDED_BY(mutex_);       // the session before has ended
  // The greatest step that a worker of this session and of the one before has said.
  int64_t step_ GUARDED_BY(mutex_) = 0, reached_ GUARDED_BY(mutex_) = 0;
  // By session, slot and epoch: what the worker lost that lost most.
  std::map<std::tuple<int64_t, int, int64_t>, int64_t> lost_steps_ GUARDED_BY(mutex_);
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
