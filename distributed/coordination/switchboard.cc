#include "distributed/coordination/switchboard.h"

#include <pthread.h>

#include <algorithm>

#include "core/base/logging.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
constexpr size_t kLetters = 64;  // of a member that does not read
constexpr size_t kCallerLimit = 128;
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);

milliseconds bounded(milliseconds timeout) {
  return std::clamp(timeout, milliseconds(0), kLongestWait);
}

}  // namespace

void Outbox::push(Letter letter) {
  MutexLock lock(mutex_);
  const bool sign_of_life = !letter.fault && letter.stall.empty();
  if (closed_ || (sign_of_life && !letters_.empty())) return;
  if (letters_.size() >= kLetters && !letter.fault) return;
  letters_.push_back(std::move(letter));
  changed_.notify_all();
}

void Outbox::close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::optional<Outbox::Letter> Outbox::next() {
  MutexLock lock(mutex_);
  while (letters_.empty() && !closed_) changed_.wait(mutex_);
  if (letters_.empty()) return std::nullopt;
  Letter letter = std::move(letters_.front());
  letters_.pop_front();
  return letter;
}

Switchboard::Switchboard(CoordinatorOptions options)
    : options_(std::move(options)), roster_(options_), thread_([this] { tick(); }) {}

Switchboard::~Switchboard() {
  stop();
  thread_.join();
}

void Switchboard::stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (auto& [member, outbox] : outboxes_) outbox->close();
  changed_.notify_all();
  ticker_.notify_all();
}

void Switchboard::tick() {
  pthread_setname_np(pthread_self(), "coordinator");
  bool stopping = false;
  while (!stopping) {
    std::vector<std::string> lines;
    {
      MutexLock lock(mutex_);
      if (log_.empty() && !stopping_) ticker_.wait_until(mutex_, Clock::now() + kTick);
      withdraw_gone();
      roster_.tick(Clock::now());
      publish();
      lines.swap(log_);
      stopping = stopping_;
    }
    for (const auto& line : lines) {
      if (options_.log) {
        options_.log(line);
      } else {
        log_info(line);
      }
    }
  }
}

void Switchboard::publish() {
  for (auto& order : roster_.take_orders()) {
    const auto found = outboxes_.find({order.generation, order.rank});
    if (found != outboxes_.end()) {
      found->second->push({std::move(order.fault), std::move(order.stall)});
    }
  }
  auto lines = roster_.take_log();
  if (!lines.empty()) {
    log_.insert(log_.end(), lines.begin(), lines.end());
    ticker_.notify_all();
  }
  if (roster_.generation() != bulletin_generation_) {
    bulletin_generation_ = roster_.generation();
    bulletin_.reset(static_cast<int>(roster_.peers().size()));
  }
  changed_.notify_all();
}

void Switchboard::withdraw_gone() {
  for (const auto& [ticket, gone] : joining_) {
    if ((*gone)()) roster_.withdraw(ticket);
  }
}

void Switchboard::throw_if_stopping() const {
  if (stopping_) throw Error(ErrorCode::kUnavailable, "the coordinator ends");
}

void Switchboard::wait_a_moment(Clock::time_point deadline) {
  // Not longer than a tick: whether the caller is gone has to be asked.
  changed_.wait_until(mutex_, std::min(deadline, Clock::now() + kTick));
}

void Switchboard::begin_again(const std::string& session, const Error& why) {
  MutexLock lock(mutex_);
  session_ = session;
  session_over_ = why;
  roster_.begin_again(why, Clock::now());
  publish();
}

Membership Switchboard::join(const JoinRequest& request, uint64_t task, const CallerGone& gone) {
  MutexLock lock(mutex_);
  throw_if_stopping();
  if (session_over_ && !request.session.empty() && request.session != session_) {
    throw Error(*session_over_);
  }
  withdraw_gone();
  const auto ticket = roster_.join(request, task, Clock::now());
  joining_.emplace(ticket, &gone);
  publish();
  for (;;) {
    auto answer = roster_.take_answer(ticket);
    const bool is_gone = !answer && gone();
    if (!answer && !is_gone && !stopping_) {
      wait_a_moment(Clock::time_point::max());
      continue;
    }
    joining_.erase(ticket);
    if (!answer) {
      roster_.withdraw(ticket);
      throw_if_stopping();
      throw Error(ErrorCode::kCancelled, "the task has gone");
    }
    if (auto* error = std::get_if<Error>(&*answer)) throw Error(*error);
    return std::get<Membership>(std::move(*answer));
  }
}

void Switchboard::await_attendance(int64_t generation, int rank, const CallerGone& gone) {
  MutexLock lock(mutex_);
  while (!stopping_ && roster_.is_expected(generation, rank)) {
    if (gone()) {
      roster_.detach(generation, rank, Clock::now());
      publish();
    } else {
      wait_a_moment(Clock::time_point::max());
    }
  }
}

std::shared_ptr<Outbox> Switchboard::attend(int64_t generation, int rank) {
  MutexLock lock(mutex_);
  throw_if_stopping();
  auto outbox = std::make_shared<Outbox>();
  auto& slot = outboxes_[{generation, rank}];
  if (slot != nullptr) {
    throw invalid_argument("rank ", rank, " of generation ", generation, " is connected already");
  }
  try {
    slot = outbox;
    roster_.attend(generation, rank, Clock::now());
  } catch (const Error&) {
    outboxes_.erase({generation, rank});
    throw;
  }
  publish();
  return outbox;
}

void Switchboard::beat(int64_t generation, int rank, const MemberBeat& beat) {
  MutexLock lock(mutex_);
  roster_.beat(generation, rank, beat, Clock::now());
  const auto found = outboxes_.find({generation, rank});
  if (found != outboxes_.end()) found->second->push({});
}

void Switchboard::report(int64_t generation, int rank, const Error& error) {
  MutexLock lock(mutex_);
  roster_.report(generation, rank, error, Clock::now());
  publish();
}

void Switchboard::told_to_stop(int64_t generation, int rank, int signal) {
  StoppedTask task{.who = name_ranks({rank}), .signal = signal};
  {
    MutexLock lock(mutex_);
    const auto peers = roster_.peers();
    if (generation == roster_.generation() && rank >= 0 && rank < static_cast<int>(peers.size())) {
      task.who = peers[static_cast<size_t>(rank)].to_string();
    }
  }
  if (options_.stop) options_.stop(task);
}

void Switchboard::fail(const Error& error) {
  MutexLock lock(mutex_);
  roster_.fail(error);
  publish();
}

void Switchboard::leave(int64_t generation, int rank) {
  MutexLock lock(mutex_);
  roster_.leave(generation, rank);
  publish();
}

void Switchboard::detach(int64_t generation, int rank) {
  MutexLock lock(mutex_);
  const auto found = outboxes_.find({generation, rank});
  if (found != outboxes_.end()) {
    found->second->close();
    outboxes_.erase(found);
  }
  if (!stopping_) roster_.detach(generation, rank, Clock::now());
  publish();
}

void Switchboard::barrier(int64_t generation, int rank, const std::string& name,
                          milliseconds timeout, const CallerGone& gone) {
  const auto deadline = Clock::now() + bounded(timeout);
  MutexLock lock(mutex_);
  if (auto cause = roster_.ended(generation)) throw Error(*cause);
  const int64_t round = bulletin_.arrive(name, rank);
  changed_.notify_all();
  for (;;) {
    throw_if_stopping();
    // A generation that ended after the last one came has still passed the barrier.
    const bool current = bulletin_generation_ == generation;
    if (current && bulletin_.complete(name, round)) return;
    if (auto cause = roster_.ended(generation)) throw Error(*cause);
    const bool late = Clock::now() >= deadline;
    if (late || gone()) {
      const auto missing = bulletin_.missing(name, round);
      bulletin_.withdraw(name, rank);
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat(name_ranks(missing), missing.size() == 1 ? " has" : " have",
                          " not come to the barrier \"", clean(name, kCallerLimit), "\" within ",
                          seconds_text(timeout)));
    }
    wait_a_moment(deadline);
  }
}

void Switchboard::put(const std::string& key, std::string value) {
  MutexLock lock(mutex_);
  bulletin_.put(key, std::move(value));
  changed_.notify_all();
}

std::string Switchboard::get(const std::string& key, milliseconds timeout, const CallerGone& gone) {
  const auto deadline = Clock::now() + bounded(timeout);
  MutexLock lock(mutex_);
  for (;;) {
    throw_if_stopping();
    if (auto value = bulletin_.get(key)) return *std::move(value);
    if (Clock::now() >= deadline || gone()) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("nobody has put the key \"", clean(key, kCallerLimit), "\" within ",
                          seconds_text(timeout)));
    }
    wait_a_moment(deadline);
  }
}

int64_t Switchboard::generation() const {
  MutexLock lock(mutex_);
  return roster_.generation();
}

int Switchboard::members() const {
  MutexLock lock(mutex_);
  return roster_.members();
}

}  // namespace trireme
