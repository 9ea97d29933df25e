// A training task's connection to the other tasks of its job: the coordinator, which one of them
// hosts, and the runtime of the group where the strategy forms one. Owned by the task; used by its
// main thread. Private to worker/.
#pragma once

#include <memory>

#include "distributed/coordination/coordinator.h"
#include "worker/cluster_runtime.h"
#include "worker/task.h"

namespace trireme {

class JobConnection {
 public:
  // `task` outlives the connection. Of a task that trains alone nothing is opened.
  explicit JobConnection(Task& task) : task_(task) {}

  bool is_distributed() const { return task_.communicates() || task_.uses_servers(); }
  // Finds the coordinator or hosts it, and opens what the group's members connect to. The task gets
  // the coordinator's address and the id of this launch. From then until met() the others do not
  // count on this task: it may still be refused. REQUIRES: is_distributed().
  void open(ClusterOptions options);
  void met() { is_meeting_ = false; }

  ClusterRuntime* runtime() const { return runtime_.get(); }  // null: there is no group
  // What the coordinator says now. Throws Error{kUnavailable} when it is gone.
  Greeting greeting() const;
  // This task ends because of `error`: the others end with it, unless a restart may mend it.
  // `options`: as for open(), where that was not called.
  void tell(const Error& error, const ClusterOptions& options) const noexcept;
  void leave();

 private:
  Task& task_;
  std::unique_ptr<Coordinator> coordinator_;  // where no group's runtime hosts it
  std::unique_ptr<ClusterRuntime> runtime_;
  bool is_meeting_ = false;
};

}  // namespace trireme
