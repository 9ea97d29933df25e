#include "distributed/coordination/launchers.h"

namespace trireme {
namespace {

bool has(const Launcher& launcher, const HungTask& task) {
  const bool worker = task.type == TaskType::kWorker;
  // As another machine says them: their sum may be no int.
  const int64_t first = worker ? launcher.first_worker : launcher.first_server;
  const int64_t count = worker ? launcher.workers : launcher.servers;
  return task.index >= first && task.index < first + count;
}

}  // namespace

int64_t Launchers::add(Launcher launcher) {
  MutexLock lock(mutex_);
  if (stopped_ && launcher.stop) launcher.stop(*stopped_);
  launchers_.emplace(++last_id_, std::move(launcher));
  return last_id_;
}

void Launchers::remove(int64_t id) {
  MutexLock lock(mutex_);
  launchers_.erase(id);
}

bool Launchers::replace(const HungTask& task) {
  MutexLock lock(mutex_);
  for (const auto& [id, launcher] : launchers_) {
    if (!has(launcher, task)) continue;
    // Once more than it restarts: then it says that the task has failed, and ends the job.
    Told& told = told_[{task.type, task.index}];
    // Its peers in a group and its servers may both find that it hangs.
    if (task.start >= 0 && task.start == told.start) return true;
    if (told.times > launcher.max_restarts) return false;
    ++told.times;
    told.start = task.start;
    launcher.replace(task);
    return true;
  }
  return false;
}

void Launchers::stop(const StoppedTask& task) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  stopped_ = task;
  for (const auto& [id, launcher] : launchers_) {
    if (launcher.stop) launcher.stop(task);
  }
}

}  // namespace trireme
