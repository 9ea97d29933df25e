// What a thread that trains is doing, told to whoever keeps account of its time.
//
//   const ObservedThread observed(account);            // this thread, until the end of the block
//   { const ActivityScope reading(Activity::kData); … }
//
// The thread of a stream (core/device/task_stream.h) works for the thread that made the stream, and
// has the same observer. On a thread without an observer a scope costs a look at a pointer.
#pragma once

#include <memory>
#include <utility>

namespace trireme {

enum class Activity {
  kOther,
  kData,        // waits for the next batch, or reads it
  kStep,        // computes a step
  kValidation,  // computes the validation of an epoch
  kCheckpoint,
  kCollective,  // is in a collective: waits for other workers, or moves and adds their bytes
  kServers,     // is in a call of the parameter servers
  kWaiting,     // for another thread of this process
};

// Any thread.
class ActivityObserver {
 public:
  virtual ~ActivityObserver() = default;
  // The calling thread goes over to `to`. `helps`: it works for the one that trains.
  virtual void change(bool helps, Activity from, Activity to) noexcept = 0;
};

// Observes the thread that makes it, while it lives. Null: nobody does.
class ObservedThread {
 public:
  explicit ObservedThread(std::shared_ptr<ActivityObserver> observer, bool helps = false)
      : observer_(std::move(observer)),
        helps_(helps),
        before_(std::exchange(current_, observer_ ? this : nullptr)) {}
  ~ObservedThread() { current_ = before_; }
  ObservedThread(const ObservedThread&) = delete;

  // Of the calling thread; null: nobody.
  static std::shared_ptr<ActivityObserver> observer() {
    return current_ != nullptr ? current_->observer_ : nullptr;
  }

 private:
  friend class ActivityScope;
  Activity enter(Activity activity) {
    observer_->change(helps_, now_, activity);
    return std::exchange(now_, activity);
  }

  static inline thread_local ObservedThread* current_ = nullptr;
  const std::shared_ptr<ActivityObserver> observer_;
  const bool helps_;
  ObservedThread* const before_;
  Activity now_ = Activity::kOther;
};

// The calling thread does this while the object lives; then again what it did before.
class ActivityScope {
 public:
  explicit ActivityScope(Activity activity) : thread_(ObservedThread::current_) {
    if (thread_ != nullptr) before_ = thread_->enter(activity);
  }
  ~ActivityScope() {
    if (thread_ != nullptr) thread_->enter(before_);
  }
  ActivityScope(const ActivityScope&) = delete;

 private:
  ObservedThread* const thread_;
  Activity before_ = Activity::kOther;
};

}  // namespace trireme
