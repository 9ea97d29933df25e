#include "distributed/coordination/launchers.h"

namespace trireme {
namespace {

bool has(const Launcher& launcher, const HungTask& task) {
  const bool worker = task.type == TaskType::kWorker;
  const int first = worker ? launcher.first_worker : launcher.first_server;
  const int count = worker ? launcher.workers : launcher.servers;
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
    int& told = told_[{task.type, task.index}];
    if (told > launcher.max_restarts) return false;
    ++told;
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
