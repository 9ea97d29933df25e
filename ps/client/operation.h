// A pull or push of several slots that is under way: when it is over, and when the caller's memory
// is no longer in use.
//
// Any thread.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"

namespace trireme::ps {

class Operation {
 public:
  using Done = std::function<void(std::unique_ptr<Error>)>;

  // `done` is called once: after finish_part() for each of `parts`, or after the first error; in
  // either case when nobody holds what borrow() gave out. By then answers that still come find
  // nothing to do.
  Operation(int parts, Done done) : state_(std::make_shared<State>()), parts_(parts) {
    state_->done = std::move(done);
    // Whoever lets go last ends the operation.
    lease_ = std::shared_ptr<const void>(
        state_.get(), [state = state_](const void*) { state->done(std::move(state->error)); });
  }

  // One that nobody will finish any more has failed.
  ~Operation() {
    finish_part(std::make_unique<Error>(ErrorCode::kCancelled,
                                        "the client of the parameter servers has ended"));
  }
  Operation(const Operation&) = delete;

  // As long as it is held the caller's memory stays. Null: it may not be touched any more.
  std::shared_ptr<const void> borrow() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return lease_;
  }

  // A part became `more` parts more.
  void add_parts(int more) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    parts_ += more;
  }

  void finish_part(std::unique_ptr<Error> error) EXCLUDES(mutex_) {
    std::shared_ptr<const void> last;  // let go of without the lock
    {
      MutexLock lock(mutex_);
      if (lease_ == nullptr) return;
      --parts_;
      if (error != nullptr) state_->error = std::move(error);
      if (parts_ == 0 || state_->error != nullptr) last = std::move(lease_);
    }
  }

 private:
  struct State {
    Done done;
    std::unique_ptr<Error> error;
  };
  Mutex mutex_;
  const std::shared_ptr<State> state_;
  int parts_ GUARDED_BY(mutex_);
  std::shared_ptr<const void> lease_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
