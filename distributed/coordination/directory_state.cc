#include "distributed/coordination/directory_state.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "core/base/logging.h"
#include "distributed/connection/draw_id.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.pb.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
// Ticks that are further apart mean that the coordinator itself stood still.
constexpr milliseconds kPause{500};
constexpr size_t kNameShown = 128;
// What a message to one task costs a core, about: telling all of them takes at most half of it.
constexpr std::chrono::microseconds kMessageTime{50};
// Who has come while not all have, and how many workers there are, may be told so much later.
constexpr int kLessUrgent = 4;

}  // namespace

DirectoryState::DirectoryState(DirectoryOptions options,
                               std::function<void(const std::string&)> log,
                               BeginsAgain begins_again)
    : options_(options),
      log_(std::move(log)),
      begins_again_(std::move(begins_again)),
      id_(draw_id()),
      hung_after_(options.hung_after),
      directory_(options),
      worker_monitor_(options.replace),
      thread_([this] { run(); }) {}

DirectoryState::~DirectoryState() {
  stop();
  thread_.join();
}

void DirectoryState::stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  ticker_.notify_all();
}

void DirectoryState::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (!failure_) failure_ = error;
  publish();
}

std::optional<Error> DirectoryState::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

int DirectoryState::told_of_failure() const {
  MutexLock lock(mutex_);
  return told_of_failure_;
}

void DirectoryState::run() {
  pthread_setname_np(pthread_self(), "directory");
  auto next_tick = Clock::now();
  for (bool stopping = false; !stopping;) {
    std::vector<std::string> lines;
    std::vector<std::shared_ptr<Watcher>> told;
    std::vector<std::function<void()>> answers;
    {
      MutexLock lock(mutex_);
      auto now = Clock::now();
      while (!stopping_ && lines_.empty() && !may_answer_ && now < next_tick &&
             now < next_telling()) {
        ticker_.wait_until(mutex_, std::min(next_tick, next_telling()));
        now = Clock::now();
      }
      if (now >= next_tick) {
        let_time_pass(now);
        next_tick = now + kTick;
      }
      if (stopping_ || may_answer_) answer_waiting(now);
      if (stopping_ || now >= next_telling()) told = tell(now);
      lines.swap(lines_);
      answers.swap(answers_);
      stopping = stopping_;
    }
    for (const auto& watcher : told) watcher->wake();
    for (const auto& answer : answers) answer();
    for (const std::string& line : lines) {
      if (log_) {
        log_(line);
      } else {
        log_info(line);
      }
    }
  }
}

void DirectoryState::let_time_pass(Clock::time_point now) {
  const int64_t number = directory_.view().number;
  directory_.tick(now);
  watch_workers();
  if (directory_.view().number != number) publish();
  take_log();
  may_answer_ = true;  // that it is too late
}

void DirectoryState::publish() {
  is_news_ = may_answer_ = true;
  take_log();
  ticker_.notify_all();
}

void DirectoryState::take_log() {
  const auto lines = directory_.take_log();
  lines_.insert(lines_.end(), lines.begin(), lines.end());
}

// ---- who is told what

DirectoryState::Clock::time_point DirectoryState::next_telling() const {
  if (!is_news_) return Clock::time_point::max();
  const bool urgent = failure_ || told_view_ != std::pair(session_, directory_.view().number);
  return told_ + kMessageTime * (urgent ? 1 : kLessUrgent) * watchers_.size();
}

void DirectoryState::update_history() {
  history_.update(directory_.view(), session_name(session_), workers_);
}

std::vector<std::shared_ptr<DirectoryState::Watcher>> DirectoryState::tell(Clock::time_point now) {
  update_history();
  is_news_ = false;
  told_ = now;
  told_view_ = {session_, directory_.view().number};
  std::vector<std::shared_ptr<Watcher>> told;
  for (const auto& watcher : watchers_) {
    if (watcher->ended || (!is_last(*watcher) && watcher->seen == history_.revision())) continue;
    told.push_back(watcher);
  }
  return told;
}

bool DirectoryState::is_last(const Watcher& watcher) const {
  return stopping_ || failure_ || given_up_now(watcher) || !is_current(watcher);
}

ViewHistory::Bytes DirectoryState::last_message(const Watcher& watcher) const {
  directory::View last;
  last.set_given_up(!stopping_ && given_up_now(watcher));
  last.set_over(stopping_);
  if (!stopping_ && !is_current(watcher)) last.set_begin_again(why_);
  if (failure_) {
    last.set_failure(failure_->what());
    last.set_failure_code(to_number(failure_->code()));
  }
  return std::make_shared<const std::string>(last.SerializeAsString());
}

ViewHistory::Bytes DirectoryState::next(Watcher& watcher) {
  MutexLock lock(mutex_);
  if (watcher.ended) return nullptr;
  if (is_last(watcher)) {
    watcher.ended = true;
    if (failure_) ++told_of_failure_;
    return last_message(watcher);
  }
  if (watcher.seen == history_.revision()) return nullptr;
  return history_.message_since(std::exchange(watcher.seen, history_.revision()));
}

void DirectoryState::forget_what_was_told(Watcher& watcher) {
  MutexLock lock(mutex_);
  watcher.seen = 0;
}

// ---- who comes and goes

std::shared_ptr<DirectoryState::Watcher> DirectoryState::attend(
    const Directory::Job& job, std::optional<ServerEntry> server,
    const std::vector<Directory::Snapshot>& snapshots, const std::string& of,
    std::function<void()> wake) {
  MutexLock lock(mutex_);
  if (failure_) {
    ++told_of_failure_;
    throw Error(*failure_);
  }
  if (stopping_) throw Error(ErrorCode::kUnavailable, "the coordinator ends");
  if (server || job.servers != 0) directory_.check(job);
  auto watcher = std::make_shared<Watcher>();
  watcher->wake = std::move(wake);
  if (server) {
    watcher->is_server = true;
    watcher->index = server->index;
    watcher->incarnation = server->incarnation;
    const bool fits = of == session_name(session_);
    directory_.attend(*server, Clock::now(), fits ? snapshots : std::vector<Directory::Snapshot>());
    if (!directory_.lost_state().empty()) {
      begin_session();
      // This one has nothing of the session before: it may stay.
      directory_.check(job);
      directory_.attend(*std::move(server), Clock::now());
    }
    publish();
  } else if (job.servers != 0) {
    watcher->is_worker = true;
    ++workers_;
    publish();
  }
  watcher->session = session_;
  watchers_.insert(watcher);
  update_history();  // the first view that it is told has it
  return watcher;
}

void DirectoryState::begin_session() {
  why_ = str_cat(directory_.lost_state(),
                 "; all tasks begin again, from the newest checkpoint of this job, or from step 0 "
                 "when there is none; where no launcher restarts them, start the job again with "
                 "--resume");
  publish();
  lines_.push_back(why_);
  ++session_;
  reached_ = std::max(reached_, std::exchange(step_, 0));
  directory_ = Directory(options_);
  history_ = ViewHistory();
  sums_ = Sums();
  awaited_sums_.clear();
  if (begins_again_) begins_again_(session_name(session_), session_over());
}

Error DirectoryState::session_over() const {
  return Error(ErrorCode::kUnavailable, why_.empty() ? "this task is of another session" : why_);
}

std::string DirectoryState::session() const {
  MutexLock lock(mutex_);
  return session_name(session_);
}

int64_t DirectoryState::reached() const {
  MutexLock lock(mutex_);
  return reached_;
}

// Slots that died together have lost the same steps, and one that dies twice loses others.
int64_t DirectoryState::lost_steps() const {
  MutexLock lock(mutex_);
  std::map<std::pair<int64_t, int>, int64_t> by_slot;
  for (const auto& [key, steps] : lost_steps_) {
    by_slot[{std::get<0>(key), std::get<1>(key)}] += steps;
  }
  std::map<int64_t, int64_t> most;
  int64_t sum = 0;
  for (const auto& [key, steps] : by_slot) {
    // What all tasks did again is apart from what one slot lost.
    if (key.second < 0) {
      sum += steps;
    } else {
      most[key.first] = std::max(most[key.first], steps);
    }
  }
  for (const auto& [session, steps] : most) sum += steps;
  return sum;
}

void DirectoryState::note_step(const Watcher& watcher, int64_t step) {
  MutexLock lock(mutex_);
  if (watcher.session == session_) step_ = std::max(step_, step);
  if (watcher.session == session_ - 1) reached_ = std::max(reached_, step);
}

void DirectoryState::note_lost_steps(const Watcher& watcher, int slot, int64_t epoch,
                                     int64_t steps) {
  MutexLock lock(mutex_);
  if (slot < 0 && is_current(watcher)) reached_ = 0;
  if (steps <= 0) return;
  int64_t& most = lost_steps_[{watcher.session, slot, epoch}];
  if (steps <= most) return;
  most = steps;
  lines_.push_back(slot < 0 ? str_cat(steps, " steps are lost and done again")
                            : str_cat("slot ", slot, " has lost ", steps, " steps"));
  ticker_.notify_all();
}

void DirectoryState::state_is_lost(const Watcher& watcher, int slot, int64_t epoch,
                                   const std::string& why) {
  MutexLock lock(mutex_);
  if (!watcher.is_server || !is_current(watcher)) return;
  directory_.state_is_lost(watcher.index, watcher.incarnation, slot, epoch, why);
  if (directory_.lost_state().empty()) return;
  begin_session();
  publish();
}

void DirectoryState::watch_workers() {
  const auto now = Clock::now();
  // While a server is away, workers wait for it, and for those who wait for it: it is to blame.
  if ((last_tick_ && now - *last_tick_ > kPause) || !directory_.all_are_heard(now)) {
    worker_monitor_.excuse(now);
  }
  last_tick_ = now;
  const WorkerMonitor::Limits limits = {.silent = hung_after_, .stuck = hung_after_};
  worker_monitor_.tick(now, limits);
  for (const auto& [name, since] : awaited_sums_) {
    for (const int worker : sums_.missing(name)) {
      worker_monitor_.awaited(worker, str_cat("the sum \"", clean(name, kNameShown), "\""), since,
                              now, limits);
    }
  }
  auto lines = worker_monitor_.take_log();
  lines_.insert(lines_.end(), lines.begin(), lines.end());
}

void DirectoryState::attend_worker(Watcher& watcher, int index, uint64_t incarnation,
                                   milliseconds patience) {
  MutexLock lock(mutex_);
  watcher.index = index;
  watcher.incarnation = incarnation;
  worker_monitor_.attend(index, incarnation, patience, Clock::now());
  if (patience.count() > 0) directory_.set_patience_of_workers(patience);
}

void DirectoryState::beat(const Watcher& watcher, const WorkerState& state) {
  MutexLock lock(mutex_);
  if (!is_current(watcher)) return;
  if (watcher.is_worker) {
    worker_monitor_.beat(watcher.index, watcher.incarnation, state, Clock::now());
  }
  if (watcher.is_server) directory_.beat(watcher.index, watcher.incarnation, Clock::now());
}

void DirectoryState::suspect(int index) {
  MutexLock lock(mutex_);
  directory_.suspect(index, Clock::now());
}

void DirectoryState::backup_is_in_sync(const Watcher& watcher, int slot, int64_t epoch,
                                       uint64_t backup_incarnation) {
  MutexLock lock(mutex_);
  if (!watcher.is_server || !is_current(watcher)) return;
  directory_.backup_is_in_sync(watcher.index, watcher.incarnation, slot, epoch, backup_incarnation);
  publish();
}

void DirectoryState::shard_moved(const Watcher& watcher, int64_t id, const std::string& error) {
  MutexLock lock(mutex_);
  if (!watcher.is_server || !is_current(watcher)) return;
  directory_.shard_moved(watcher.index, watcher.incarnation, id, error);
  publish();
}

void DirectoryState::detach(Watcher& watcher, bool goodbye) {
  MutexLock lock(mutex_);
  watcher.ended = true;
  std::erase_if(watchers_, [&](const auto& one) { return one.get() == &watcher; });
  if (watcher.is_worker) {
    --workers_;
    worker_monitor_.detach(watcher.index, watcher.incarnation);
  }
  if (watcher.is_server && !stopping_ && is_current(watcher)) {
    directory_.detach(watcher.index, watcher.incarnation, goodbye, Clock::now());
  }
  publish();
}

bool DirectoryState::given_up_now(const Watcher& watcher) const {
  return watcher.is_server && is_current(watcher) &&
         !directory_.is_alive(watcher.index, watcher.incarnation);
}

}  // namespace trireme
