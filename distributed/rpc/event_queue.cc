#include "distributed/rpc/event_queue.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <algorithm>
#include <utility>

#include "core/base/hand_over.h"

namespace trireme {
namespace {

using std::chrono::steady_clock;

class WakeUp final : public RpcEvent {
 public:
  void set(grpc::CompletionQueue& queue) {
    alarm_.Set(&queue, gpr_now(GPR_CLOCK_MONOTONIC), tag_of(*this));
  }
  void done(bool /*ok*/) override { delete this; }

 private:
  grpc::Alarm alarm_;
};

gpr_timespec to_gpr(steady_clock::time_point deadline) {
  if (deadline == steady_clock::time_point::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const auto left =
      std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(std::max<int64_t>(0, left.count()), GPR_TIMESPAN));
}

}  // namespace

void* tag_of(RpcEvent& event) {
  hand_over(&event);
  return &event;
}

EventQueue::EventQueue() : EventQueue(std::make_unique<grpc::CompletionQueue>()) {}

EventQueue::EventQueue(std::unique_ptr<grpc::CompletionQueue> queue) : queue_(std::move(queue)) {}

EventQueue::~EventQueue() = default;

bool EventQueue::run_one(TimePoint deadline) {
  void* tag = nullptr;
  bool ok = false;
  const auto status = queue_->AsyncNext(&tag, &ok, to_gpr(deadline));
  if (status == grpc::CompletionQueue::GOT_EVENT) {
    take_over(tag);
    static_cast<RpcEvent*>(tag)->done(ok);
  }
  return status != grpc::CompletionQueue::SHUTDOWN;
}

void EventQueue::wake() { (new WakeUp)->set(*queue_); }

void EventQueue::shut_down() { queue_->Shutdown(); }

EventQueue::Use::Use(EventQueue& queue) : queue_(queue) {
  MutexLock lock(queue_.mutex_);
  ++queue_.uses_;
}

EventQueue::Use::~Use() {
  MutexLock lock(queue_.mutex_);
  // Under the lock: then whoever waits may destroy the queue.
  if (--queue_.uses_ == 0) queue_.unused_.notify_all();
}

bool EventQueue::is_used() const {
  MutexLock lock(mutex_);
  return uses_ > 0;
}

void EventQueue::wait_until_unused() {
  MutexLock lock(mutex_);
  while (uses_ > 0) unused_.wait(mutex_);
}

}  // namespace trireme
