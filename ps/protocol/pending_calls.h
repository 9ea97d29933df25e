// The calls of one connection that wait for their answers, and until when.
//
// Any thread. `done` of a call is called once, by whoever ends it, without a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/base/thread_annotations.h"
#include "ps/protocol/rpc.h"

namespace trireme::ps {

class PendingCalls {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Done = std::function<void(RpcResult)>;

  explicit PendingCalls(std::string peer) : peer_(std::move(peer)) {}

  struct Added {
    uint64_t id = 0;         // from 1, in order; 0: the connection is dead and `done` was called
    bool is_urgent = false;  // expires before the wait that wait_until() announced ends
  };
  Added add(std::chrono::milliseconds timeout, Done done) EXCLUDES(mutex_);

  // Nothing happens when the call has ended already. Throws Error{kDataLoss} for a call that never
  // was.
  void end(uint64_t id, RpcResult result) EXCLUDES(mutex_);

  // The connection is dead: ends all calls, and each later one, with this. The first counts.
  void fail(const Error& why) EXCLUDES(mutex_);

  // Ends the calls that are late.
  void expire() EXCLUDES(mutex_);
  // How long whoever calls expire() may wait: `latest`, or when the next call is late.
  TimePoint wait_until(TimePoint latest) EXCLUDES(mutex_);

 private:
  struct Call {
    TimePoint deadline;
    std::chrono::milliseconds timeout;
    Done done;
  };

  const std::string peer_;
  Mutex mutex_;
  uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<uint64_t, Call> calls_ GUARDED_BY(mutex_);
  std::set<std::pair<TimePoint, uint64_t>> deadlines_ GUARDED_BY(mutex_);
  TimePoint announced_ GUARDED_BY(mutex_) = TimePoint::max();
  std::optional<Error> dead_ GUARDED_BY(mutex_);
};

// An RpcResult without an answer.
RpcResult failed_call(const Error& why);

}  // namespace trireme::ps
