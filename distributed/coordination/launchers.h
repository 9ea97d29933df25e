// The Launchers of a job: who can start a task again that hangs, and who stops all tasks when one
// of them was told to stop.
//
// A task that hangs lives: it closes no connection and never exits, so only the process that
// started it can replace it. Without launchers (mpirun, srun, torchrun) nobody can.
//
// All methods may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/base/thread_annotations.h"
#include "distributed/cluster/cluster_spec.h"

namespace trireme {

// A task that lives and does not go on.
struct HungTask {
  TaskType type = TaskType::kWorker;
  int index = 0;  // among the workers, or among the parameter servers
  // Which start of the task hangs, as TRIREME_INCARNATION counts them; -1: not known, and the one
  // that runs is meant when it has run for `running_for`.
  int64_t start = -1;
  std::chrono::milliseconds running_for{0};
  std::string why;  // one line for people
};

// A task that was told to stop by a signal: it saves and ends, and so does the job.
struct StoppedTask {
  std::string who;  // "rank 1 (host n1, pid 7)"
  int signal = 0;
};

// What the launcher of one machine has, and how it is told. The functions must not block.
struct Launcher {
  int first_worker = 0, workers = 0;
  int first_server = 0, servers = 0;
  int max_restarts = 0;  // of each task
  // Kills the task, and starts it again as often as it may.
  std::function<void(const HungTask&)> replace;
  // Tells all tasks to stop, as one of them was told.
  std::function<void(const StoppedTask&)> stop;
};

class Launchers {
 public:
  int64_t add(Launcher launcher) EXCLUDES(mutex_);
  void remove(int64_t id) EXCLUDES(mutex_);

  // Tells the launcher of the task. False when there is none, or when it was told of this task more
  // often than it starts a task again: then nobody replaces it.
  bool replace(const HungTask& task) EXCLUDES(mutex_);
  // Tells all launchers, the first time only, and those that come later.
  void stop(const StoppedTask& task) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  int64_t last_id_ GUARDED_BY(mutex_) = 0;
  std::map<int64_t, Launcher> launchers_ GUARDED_BY(mutex_);
  std::optional<StoppedTask> stopped_ GUARDED_BY(mutex_);
  struct Told {
    int times = 0;
    int64_t start = -1;  // the last one of which it was told
  };
  std::map<std::pair<TaskType, int>, Told> told_ GUARDED_BY(mutex_);
};

}  // namespace trireme
