// Where the time of a training went: each moment belongs to one use, so they add up to the time
// since the account was opened.
//
// While the thread that trains waits for its communication stream, the time is that of the
// collective, or of the call of parameter servers, which is under way there. What overlaps with
// computing costs the step nothing and counts as computing. Any thread.
#pragma once

#include <array>
#include <chrono>

#include "core/base/activity.h"
#include "core/base/thread_annotations.h"

namespace trireme {

class TimeAccount : public ActivityObserver {
 public:
  enum class Use {
    kCompute,
    kCollectives,
    kParameterServers,
    kData,
    kCheckpoints,
    kValidation,
    kOther,  // the start, joining a group, callbacks, the end
  };
  static constexpr std::array<const char*, 7> kNames = {
      "compute", "collectives", "parameter_servers", "data", "checkpoints", "validation", "other"};

  void change(bool helps, Activity from, Activity to) noexcept override EXCLUDES(mutex_);
  // In seconds, by Use.
  std::array<double, kNames.size()> seconds() const EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  Use use() const REQUIRES(mutex_);

  mutable Mutex mutex_;
  Activity now_ GUARDED_BY(mutex_) = Activity::kOther;     // of the thread that trains
  Activity before_ GUARDED_BY(mutex_) = Activity::kOther;  // when it waits: what it waits in
  int collectives_ GUARDED_BY(mutex_) = 0;                 // helpers that are in one
  int server_calls_ GUARDED_BY(mutex_) = 0;
  Clock::time_point since_ GUARDED_BY(mutex_) = Clock::now();
  std::array<Clock::duration, kNames.size()> spent_ GUARDED_BY(mutex_) = {};
};

}  // namespace trireme
