// What other threads ask of the Supervisor while it runs a job: a queue that can be waited for.
//
// post() may be called from any thread, also before and after a job; take() belongs to the
// supervisor's.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/base/thread_annotations.h"

namespace trireme {

// Kill this task and treat it as one that died.
struct ReplaceRequest {
  std::string task;  // its name
  // Which start of it is meant, 0 the first; -1: the one that runs, if it has run for
  // `running_for`.
  int64_t start = -1;
  std::chrono::milliseconds running_for{0};
  std::string why;
};

// End the job as if `signal` had come: one of its tasks was told to stop.
struct StopRequest {
  int signal = 0;
  std::string why;
};

using SupervisorRequest = std::variant<ReplaceRequest, StopRequest>;

class SupervisorRequests {
 public:
  SupervisorRequests();  // throws Error{kFailed}
  ~SupervisorRequests();
  SupervisorRequests(const SupervisorRequests&) = delete;

  void post(SupervisorRequest request) EXCLUDES(mutex_);
  std::vector<SupervisorRequest> take() EXCLUDES(mutex_);
  int descriptor() const { return event_; }  // readable when there is something to take

 private:
  const int event_;
  Mutex mutex_;
  std::vector<SupervisorRequest> requests_ GUARDED_BY(mutex_);
};

}  // namespace trireme
