#include "ps/protocol/pending_calls.h"

#include <algorithm>
#include <vector>

namespace trireme::ps {
namespace {

using std::chrono::steady_clock;

// Far enough for anybody; later ones would overflow the clock.
constexpr std::chrono::hours kLongest{24 * 365};

}  // namespace

RpcResult failed_call(const Error& why) { return {{}, std::make_unique<Error>(why)}; }

PendingCalls::Added PendingCalls::add(std::chrono::milliseconds timeout, Done done) {
  const TimePoint deadline =
      steady_clock::now() + std::min<std::chrono::milliseconds>(timeout, kLongest);
  std::optional<Error> dead;
  {
    MutexLock lock(mutex_);
    dead = dead_;
    if (!dead) {
      const uint64_t id = ++last_id_;
      calls_.emplace(id, Call{deadline, timeout, std::move(done)});
      deadlines_.emplace(deadline, id);
      const bool is_urgent = deadline < announced_;
      if (is_urgent) announced_ = deadline;
      return {id, is_urgent};
    }
  }
  done(failed_call(*dead));
  return {};
}

void PendingCalls::end(uint64_t id, RpcResult result) {
  Done done;
  {
    MutexLock lock(mutex_);
    if (id == 0 || id > last_id_) {
      throw data_loss("expected an answer to one of ", last_id_, " calls, found one to call ", id);
    }
    const auto found = calls_.find(id);
    if (found == calls_.end()) return;
    deadlines_.erase({found->second.deadline, id});
    done = std::move(found->second.done);
    calls_.erase(found);
  }
  done(std::move(result));
}

void PendingCalls::fail(const Error& why) {
  std::unordered_map<uint64_t, Call> calls;
  {
    MutexLock lock(mutex_);
    if (!dead_) dead_ = why;
    calls.swap(calls_);
    deadlines_.clear();
  }
  std::vector<std::pair<uint64_t, Done>> in_order;
  in_order.reserve(calls.size());
  for (auto& [id, call] : calls) in_order.emplace_back(id, std::move(call.done));
  std::ranges::sort(in_order, {}, &std::pair<uint64_t, Done>::first);
  for (auto& [id, done] : in_order) done(failed_call(why));
}

void PendingCalls::expire() {
  const TimePoint now = steady_clock::now();
  std::vector<Call> late;
  {
    MutexLock lock(mutex_);
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      const auto found = calls_.find(deadlines_.begin()->second);
      late.push_back(std::move(found->second));
      calls_.erase(found);
      deadlines_.erase(deadlines_.begin());
    }
  }
  for (Call& call : late) {
    const double seconds = std::chrono::duration<double>(call.timeout).count();
    call.done(failed_call(
        {ErrorCode::kDeadlineExceeded, str_cat(peer_, " did not answer within ", seconds, " s")}));
  }
}

PendingCalls::TimePoint PendingCalls::wait_until(TimePoint latest) {
  MutexLock lock(mutex_);
  announced_ = deadlines_.empty() ? latest : std::min(latest, deadlines_.begin()->first);
  return announced_;
}

}  // namespace trireme::ps
