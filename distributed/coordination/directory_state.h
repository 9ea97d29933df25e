// The DirectoryState: the Directory and the Sums behind a lock, with the waiting that they do not
// do.
//
// All methods may be called from any thread, and none waits: who waits says what is to be called.
// One thread of its own lets time pass for the directory, calls those who wait, and is the only one
// that writes to the log.
//
// Views are told together: the first change at once, those that follow it after a pause that grows
// with the number of tasks that are told, so that hundreds of servers that come one by one are not
// told of each.
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
#include <set>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/coordination/directory.h"
#include "distributed/coordination/sums.h"
#include "distributed/coordination/view_history.h"
#include "distributed/coordination/worker_monitor.h"

namespace trireme {

class DirectoryState {
 public:
  // One task's stream.
  struct Watcher {
    bool is_server = false;
    bool is_worker = false;
    int index = 0;
    uint64_t incarnation = 0;

   private:
    friend class DirectoryState;
    std::function<void()> wake;
    int64_t session = 0;  // that it came in; this and the rest under the board's lock
    int64_t seen = 0;     // the revision that it was told last
    bool ended = false;   // it was told its last message, or has left
  };

  // Called with a lock held: a new session has begun, and why, which tasks of another are told.
  using BeginsAgain = std::function<void(const std::string& session, const Error& why)>;
  DirectoryState(DirectoryOptions options, std::function<void(const std::string&)> log,
                 BeginsAgain begins_again = nullptr);
  ~DirectoryState();  // stop()
  void stop() EXCLUDES(mutex_);
  // The job has failed: all tasks get `error`, those that come later, too.
  void fail(const Error& error) EXCLUDES(mutex_);
  std::optional<Error> failure() const EXCLUDES(mutex_);
  int told_of_failure() const EXCLUDES(mutex_);  // how many have got it

  // A task comes: a server, when `server` has a value; else one that watches, who may say nothing
  // of the job (0 servers). Throws as Directory::check() and attend().
  // `snapshots`: what the server could go on from, of the session `of`. `wake`: called, from the
  // board's thread, when next() may have something for it; not after the board's end.
  std::shared_ptr<Watcher> attend(const Directory::Job& job, std::optional<ServerEntry> server,
                                  const std::vector<Directory::Snapshot>& snapshots,
                                  const std::string& of, std::function<void()> wake)
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

  // The next directory::View for this watcher: what it has not been told, or its last message,
  // which says why there are no more. Null: nothing is new.
  ViewHistory::Bytes next(Watcher& watcher) EXCLUDES(mutex_);
  // It could not apply what it was told: the next one is a whole view.
  void forget_what_was_told(Watcher& watcher) EXCLUDES(mutex_);

  // See DirectoryClient::sum() and move_shard(). `done` is called once, from the board's thread,
  // with the sums or why there are none. Returns a ticket for cancel(). Throws what is wrong with
  // the request itself; then `done` is not called.
  // `session`: the caller's; empty: this one.
  using SumDone = std::function<void(const std::vector<double>&, const std::optional<Error>&)>;
  using MoveDone = std::function<void(const std::optional<Error>&)>;
  int64_t sum(const std::string& name, int worker, int workers, std::span<const double> values,
              std::chrono::milliseconds timeout, const std::string& session, SumDone done)
      EXCLUDES(mutex_);
  int64_t move_shard(int shard, int to, std::chrono::milliseconds timeout, MoveDone done)
      EXCLUDES(mutex_);
  // Nobody waits for it any more: it ends at once.
  void cancel(int64_t ticket) EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  // A call whose answer is awaited.
  struct Waiting {
    int64_t session = 0;
    Clock::time_point deadline;
    std::chrono::milliseconds timeout{0};
    bool cancelled = false;
    std::string sum;  // its name; empty: a move
    int shard = 0, to = 0;
    int64_t move = 0;  // the directory's ticket
    SumDone sum_done;
    MoveDone move_done;
  };

  void run();  // the thread's loop
  void publish() REQUIRES(mutex_);
  void take_log() REQUIRES(mutex_);
  void let_time_pass(Clock::time_point now) REQUIRES(mutex_);
  Clock::time_point next_telling() const REQUIRES(mutex_);
  std::vector<std::shared_ptr<Watcher>> tell(Clock::time_point now) REQUIRES(mutex_);
  bool is_last(const Watcher& watcher) const REQUIRES(mutex_);
  ViewHistory::Bytes last_message(const Watcher& watcher) const REQUIRES(mutex_);
  void update_history() REQUIRES(mutex_);
  int64_t await(Waiting waiting, std::chrono::milliseconds timeout) REQUIRES(mutex_);
  void answer_waiting(Clock::time_point now) REQUIRES(mutex_);
  // Whether it was answered.
  bool answer(const Waiting& waiting, Clock::time_point now) REQUIRES(mutex_);
  std::optional<Error> common_end(const Waiting& waiting) const REQUIRES(mutex_);
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
  ConditionVariable ticker_;  // something for the thread
  bool stopping_ GUARDED_BY(mutex_) = false;
  Directory directory_ GUARDED_BY(mutex_);
  WorkerMonitor worker_monitor_ GUARDED_BY(mutex_);
  std::optional<Clock::time_point> last_tick_ GUARDED_BY(mutex_);
  // Since when somebody waits for them.
  std::map<std::string, Clock::time_point> awaited_sums_ GUARDED_BY(mutex_);
  Sums sums_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  int told_of_failure_ GUARDED_BY(mutex_) = 0;
  int workers_ GUARDED_BY(mutex_) = 0;
  std::set<std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);  // all that attend
  ViewHistory history_ GUARDED_BY(mutex_);                          // of this session
  bool is_news_ GUARDED_BY(mutex_) = false;                         // since the last telling
  Clock::time_point told_ GUARDED_BY(mutex_);                       // when that was
  // What was told then: another one must not wait long.
  std::pair<int64_t, int64_t> told_view_ GUARDED_BY(mutex_) = {0, 0};  // session, number
  std::map<int64_t, Waiting> waiting_ GUARDED_BY(mutex_);              // by ticket
  int64_t tickets_ GUARDED_BY(mutex_) = 0;
  bool may_answer_ GUARDED_BY(mutex_) = false;  // somebody who waits
  std::vector<std::function<void()>> answers_ GUARDED_BY(mutex_);
  int64_t session_ GUARDED_BY(mutex_) = 0;  // counts them
  std::string why_ GUARDED_BY(mutex_);      // the session before has ended
  // The greatest step that a worker of this session and of the one before has said.
  int64_t step_ GUARDED_BY(mutex_) = 0, reached_ GUARDED_BY(mutex_) = 0;
  // By session, slot and epoch: what the worker lost that lost most.
  std::map<std::tuple<int64_t, int, int64_t>, int64_t> lost_steps_ GUARDED_BY(mutex_);
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
