// The launcher of a machine that does not host the coordinator, on the line to it: it hears which
// of its tasks hang, and that the job is to stop.
//
// One thread of its own, which connects again when the line breaks; a coordinator that is not there
// is for the tasks to notice. The launcher's functions are called on that thread.
#pragma once

#include <memory>

#include "distributed/coordination/launchers.h"
#include "distributed/coordination/rpc_channel.h"

namespace trireme {

class LauncherLink {
 public:
  LauncherLink(CoordinatorTarget target, Launcher launcher);
  ~LauncherLink();
  LauncherLink(const LauncherLink&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
