// Runs the events of a queue, on whichever thread waits for it.
//
// A thread that waits for a message polls the network itself, so that nothing has to wake it: that
// halves the latency. While nobody waits, a thread of its own ("collective io") polls, so that
// peers are answered. Events never run at the same time as each other. Any thread may call wait()
// and wake(); the owner calls stop() before the queue goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#include "core/base/thread_annotations.h"
#include "distributed/rpc/event_queue.h"

namespace trireme {

class GrpcProgress {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit GrpcProgress(EventQueue& queue);  // borrowed
  ~GrpcProgress();
  GrpcProgress(const GrpcProgress&) = delete;

  // Runs events until done() holds; false at the deadline. done() is called without locks held,
  // after each event; a change that comes from elsewhere is followed by wake().
  template <typename Done>
  bool wait(Done done, TimePoint deadline) {
    return wait_for([](void* context) { return (*static_cast<Done*>(context))(); }, &done,
                    deadline);
  }
  void wake() EXCLUDES(mutex_);
  // Shuts the queue down, runs what is left and ends the thread.
  void stop() EXCLUDES(mutex_);

 private:
  bool wait_for(bool (*done)(void*), void* context, TimePoint deadline) EXCLUDES(mutex_);
  void run_in_background();

  EventQueue& queue_;
  Mutex mutex_;
  ConditionVariable changed_;             // of events_ or polling_
  ConditionVariable background_changed_;  // of stopping_
  bool polling_ GUARDED_BY(mutex_) = false;
  int waiting_ GUARDED_BY(mutex_) = 0;        // threads in wait()
  int sleeping_ GUARDED_BY(mutex_) = 0;       // of them, those that another one polls for
  bool was_used_ GUARDED_BY(mutex_) = false;  // by wait(), since the background thread looked
  uint64_t events_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread background_;
};

}  // namespace trireme
