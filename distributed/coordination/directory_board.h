// The DirectoryBoard: the Directory and the Sums behind a lock, with the waiting that they do not
// do.
//
// All methods may be called from any thread; some of them wait, each until its deadline, until its
// caller is gone, or stop(). One thread of its own lets time pass for the directory and is the only
// one that writes to the log.
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
    int64_t seen = -1;    // of the revisions
    bool closed = false;  // both under the board's lock
  };

  DirectoryBoard(DirectoryOptions options, std::function<void(const std::string&)> log);
  ~DirectoryBoard();  // stop()
  void stop() EXCLUDES(mutex_);
  // The job has failed: all tasks get `error`, those that come later, too.
  void fail(const Error& error) EXCLUDES(mutex_);
  std::optional<Error> failure() const EXCLUDES(mutex_);
  int told_of_failure() const EXCLUDES(mutex_);  // how many have got it

  // A task comes: a server, when `server` has a value; else one that watches, who may say nothing
  // of the job (0 servers). Throws as Directory::check() and attend().
  std::shared_ptr<Watcher> attend(const Directory::Job& job, std::optional<ServerEntry> server)
      EXCLUDES(mutex_);
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
  void detach(Watcher& watcher, bool goodbye) EXCLUDES(mutex_);

  // Waits for a view that the watcher has not had. Nothing: it is over, after detach(), stop() or
  // because the server was given up.
  std::optional<ServerView> next(Watcher& watcher) EXCLUDES(mutex_);
  bool given_up(const Watcher& watcher) const EXCLUDES(mutex_);
  bool is_over() const EXCLUDES(mutex_);  // after stop()
  int workers() const EXCLUDES(mutex_);   // that attend; bystanders do not count

  // See DirectoryClient::sum().
  std::vector<double> sum(const std::string& name, int worker, int workers,
                          std::span<const double> values, std::chrono::milliseconds timeout,
                          const std::function<bool()>& caller_gone) EXCLUDES(mutex_);

  // See DirectoryClient::move_shard().
  void move_shard(int shard, int to, std::chrono::milliseconds timeout,
                  const std::function<bool()>& caller_gone) EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  void tick();  // the thread's loop
  void publish() REQUIRES(mutex_);
  void watch_workers() REQUIRES(mutex_);
  bool given_up_now(const Watcher& watcher) const REQUIRES(mutex_);

  const std::function<void(const std::string&)> log_;
  mutable Mutex mutex_;
  ConditionVariable changed_;  // something that a caller waits for
  ConditionVariable ticker_;   // something for the thread
  bool stopping_ GUARDED_BY(mutex_) = false;
  const std::chrono::milliseconds hung_after_;
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
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
