// Who waits for an answer of the directory board: for a sum, or for a virtual shard that moves.
#include <algorithm>
#include <utility>

#include "distributed/coordination/directory_state.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);
constexpr size_t kNameShown = 128;

// What keeps a shard from moving, as far as the view tells.
std::string why_not_moved(const ServerView& view) {
  std::vector<int> awaited;
  for (size_t i = 0; i < view.slots.size(); ++i) {
    if (view.slots[i].primary < 0) awaited.push_back(static_cast<int>(i));
  }
  if (awaited.empty()) return "all slots have a primary, and not each may have its backup yet";
  return str_cat(name_numbered("slot", awaited),
                 awaited.size() == 1 ? " waits for its" : " wait for their",
                 awaited.size() == 1 ? " server" : " servers");
}

}  // namespace

int64_t DirectoryState::await(Waiting waiting, milliseconds timeout) {
  waiting.session = session_;
  waiting.timeout = timeout;
  waiting.deadline = Clock::now() + std::clamp(timeout, milliseconds(0), kLongestWait);
  waiting_.emplace(++tickets_, std::move(waiting));
  return tickets_;
}

int64_t DirectoryState::sum(const std::string& name, int worker, int workers,
                            std::span<const double> values, milliseconds timeout,
                            const std::string& session, SumDone done) {
  MutexLock lock(mutex_);
  if (!session.empty() && session != session_name(session_)) throw session_over();
  if (failure_) throw Error(*failure_);
  if (stopping_) throw Error(ErrorCode::kUnavailable, "the coordinator ends");
  sums_.add(name, worker, workers, values);
  awaited_sums_.emplace(name, Clock::now());
  if (sums_.find(name) != nullptr) {
    may_answer_ = true;
    ticker_.notify_all();
  }
  return await({.sum = name, .sum_done = std::move(done)}, timeout);
}

int64_t DirectoryState::move_shard(int shard, int to, milliseconds timeout, MoveDone done) {
  MutexLock lock(mutex_);
  if (stopping_) throw Error(ErrorCode::kUnavailable, "the coordinator ends");
  const int64_t move = directory_.move_shard(shard, to);
  publish();
  return await({.shard = shard, .to = to, .move = move, .move_done = std::move(done)}, timeout);
}

void DirectoryState::cancel(int64_t ticket) {
  MutexLock lock(mutex_);
  const auto found = waiting_.find(ticket);
  if (found == waiting_.end()) return;
  found->second.cancelled = may_answer_ = true;
  ticker_.notify_all();
}

void DirectoryState::answer_waiting(Clock::time_point now) {
  may_answer_ = false;
  std::erase_if(waiting_,
                [&](const auto& one) REQUIRES(mutex_) { return answer(one.second, now); });
}

std::optional<Error> DirectoryState::common_end(const Waiting& waiting) const {
  if (waiting.session != session_) return session_over();
  if (failure_) return failure_;
  if (stopping_) return Error(ErrorCode::kUnavailable, "the coordinator ends");
  return std::nullopt;
}

bool DirectoryState::answer(const Waiting& waiting, Clock::time_point now) {
  std::optional<Error> error = common_end(waiting);
  const bool late = now >= waiting.deadline || waiting.cancelled;
  if (waiting.move_done) {
    if (!error) {
      const auto outcome = directory_.outcome(waiting.move);
      if (outcome && !outcome->empty()) {
        error = Error(ErrorCode::kFailed,
                      str_cat("virtual shard ", waiting.shard, " stays where it is: ", *outcome));
      } else if (!outcome && late) {
        directory_.forget_move(waiting.move);
        publish();
        error = Error(ErrorCode::kDeadlineExceeded,
                      str_cat("virtual shard ", waiting.shard, " has not come to slot ", waiting.to,
                              " within ", seconds_text(waiting.timeout), ": it stays where it is; ",
                              why_not_moved(directory_.view())));
      } else if (!outcome) {
        return false;
      }
    }
    answers_.push_back([done = waiting.move_done, error] { done(error); });
    return true;
  }
  const std::vector<double>* sum = error ? nullptr : sums_.find(waiting.sum);
  if (sum != nullptr) awaited_sums_.erase(waiting.sum);
  if (!error && sum == nullptr && late) {
    const auto missing = sums_.missing(waiting.sum);
    error = Error(ErrorCode::kDeadlineExceeded,
                  str_cat(name_ranks(missing), missing.size() == 1 ? " has" : " have",
                          " not come to the sum \"", clean(waiting.sum, kNameShown), "\" within ",
                          seconds_text(waiting.timeout)));
  }
  if (!error && sum == nullptr) return false;
  answers_.push_back(
      [done = waiting.sum_done, error, values = sum == nullptr ? std::vector<double>() : *sum] {
        done(values, error);
      });
  return true;
}

}  // namespace trireme
