// A completion queue of gRPC: operations are started with an RpcEvent, which is run by whoever
// calls run_one() once the operation is done.
//
// Any thread. Streams use the queue until their end; shut it down when none does any more, and run
// what is left of its events before it goes.
#pragma once

#include <chrono>
#include <memory>

#include "core/base/thread_annotations.h"

namespace grpc {
class CompletionQueue;
}

namespace trireme {

// `ok` as gRPC gives it.
class RpcEvent {
 public:
  virtual void done(bool ok) = 0;

 protected:
  ~RpcEvent() = default;
};

// What an operation of gRPC gets. REQUIRES: whoever runs the queue may run `event` from now on.
void* tag_of(RpcEvent& event);

class EventQueue {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  EventQueue();  // of a process that only dials
  explicit EventQueue(std::unique_ptr<grpc::CompletionQueue> queue);  // a server's
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;

  // Waits for one event and runs it; nothing at the deadline (max(): there is none). False once the
  // queue is shut down and empty.
  bool run_one(TimePoint deadline);
  // An event without meaning: makes one run_one() return soon.
  void wake();
  void shut_down();

  // Held by whatever may still start operations.
  class Use {
   public:
    explicit Use(EventQueue& queue);
    ~Use();
    Use(const Use&) = delete;
    EventQueue& queue() const { return queue_; }

   private:
    EventQueue& queue_;
  };
  bool is_used() const EXCLUDES(mutex_);
  // While other threads run its events.
  void wait_until_unused() EXCLUDES(mutex_);

  grpc::CompletionQueue& grpc() { return *queue_; }

 private:
  const std::unique_ptr<grpc::CompletionQueue> queue_;
  mutable Mutex mutex_;
  ConditionVariable unused_;
  int uses_ GUARDED_BY(mutex_) = 0;
};

}  // namespace trireme
