#include "distributed/collective/grpc_progress.h"

#include <pthread.h>

namespace trireme {
namespace {

using std::chrono::steady_clock;

// How long the background thread leaves the queue to a thread that keeps coming back.
constexpr std::chrono::milliseconds kYield{10};

}  // namespace

GrpcProgress::GrpcProgress(EventQueue& queue)
    : queue_(queue), background_([this] { run_in_background(); }) {
  pthread_setname_np(background_.native_handle(), "collective io");
}

GrpcProgress::~GrpcProgress() { stop(); }

bool GrpcProgress::wait_for(bool (*done)(void*), void* context, TimePoint deadline) {
  if (done(context)) return true;
  mutex_.lock();
  ++waiting_;
  was_used_ = true;
  bool result = false;
  while (true) {
    const uint64_t seen = events_;
    mutex_.unlock();
    result = done(context);
    const bool late = !result && steady_clock::now() >= deadline;
    mutex_.lock();
    if (result || late) break;
    if (!polling_ && !stopping_) {
      polling_ = true;
      mutex_.unlock();
      queue_.run_one(deadline);
      mutex_.lock();
      polling_ = false;
      ++events_;
      if (sleeping_ > 0) changed_.notify_all();
    } else if (events_ == seen) {
      ++sleeping_;
      changed_.wait_until(mutex_, deadline);
      --sleeping_;
    }
  }
  --waiting_;
  if (sleeping_ > 0) changed_.notify_all();
  mutex_.unlock();
  return result;
}

void GrpcProgress::wake() {
  {
    MutexLock lock(mutex_);
    ++events_;
    changed_.notify_all();
    if (!polling_ || stopping_) return;
  }
  queue_.wake();
}

void GrpcProgress::run_in_background() {
  mutex_.lock();
  while (!stopping_) {
    if (polling_ || waiting_ > 0 || was_used_) {
      was_used_ = false;
      background_changed_.wait_until(mutex_, steady_clock::now() + kYield);
      continue;
    }
    polling_ = true;
    // Until somebody waits: who comes now sleeps until the next event, then polls itself.
    while (waiting_ == 0 && !stopping_) {
      mutex_.unlock();
      queue_.run_one(steady_clock::now() + std::chrono::seconds(1));
      mutex_.lock();
      ++events_;
    }
    polling_ = false;
    changed_.notify_all();
  }
  mutex_.unlock();
  while (queue_.run_one(steady_clock::now() + std::chrono::seconds(1))) {
  }
}

void GrpcProgress::stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    background_changed_.notify_all();
  }
  queue_.wake();
  queue_.shut_down();
  background_.join();
}

}  // namespace trireme
