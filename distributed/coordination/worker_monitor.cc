#include "distributed/coordination/worker_monitor.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"

namespace trireme {

void WorkerMonitor::attend(int worker, uint64_t incarnation, std::chrono::milliseconds patience,
                           Time now) {
  if (patience.count() > 0) patience_ = std::min(patience_, patience);
  workers_[worker] = {
      .incarnation = incarnation, .state = {}, .heard = now, .progressed = now, .advanced = now};
}

void WorkerMonitor::beat(int worker, uint64_t incarnation, const WorkerState& state, Time now) {
  const auto found = workers_.find(worker);
  if (found == workers_.end() || found->second.incarnation != incarnation) return;
  Worker& known = found->second;
  // One that waits gets on when the others do.
  if (state.progress != known.state.progress) known.progressed = known.advanced = now;
  if (state.waiting.count() > 0) known.advanced = now;
  known.state = state;
  known.heard = now;
}

void WorkerMonitor::detach(int worker, uint64_t incarnation) {
  const auto found = workers_.find(worker);
  if (found != workers_.end() && found->second.incarnation == incarnation) workers_.erase(found);
}

void WorkerMonitor::excuse(Time now) {
  for (auto& [index, worker] : workers_) {
    worker.heard = std::max(worker.heard, now);
    worker.progressed = std::max(worker.progressed, now);
    worker.advanced = std::max(worker.advanced, now);
  }
}

WorkerMonitor::Limits WorkerMonitor::within_patience(Limits limits) const {
  return {.silent = std::min(limits.silent, patience_ / 3),
          .stuck = std::min(limits.stuck, patience_ / 3 * 2)};
}

void WorkerMonitor::awaited(int index, const std::string& what, Time since, Time now,
                            Limits limits) {
  const auto found = workers_.find(index);
  if (found == workers_.end() || found->second.replaced) return;
  Worker& worker = found->second;
  const auto stands = now - std::max(since, worker.progressed);
  if (stands <= within_patience(limits).stuck) return;
  replace(index, worker,
          str_cat("has done nothing for ", seconds_text(now - worker.progressed),
                  ", and others wait for it at ", what));
}

void WorkerMonitor::tick(Time now, Limits limits) {
  limits = within_patience(limits);
  for (auto& [index, worker] : workers_) {
    if (worker.replaced) continue;
    if (now - worker.heard > limits.silent) {
      replace(index, worker, str_cat("has said nothing for ", seconds_text(now - worker.heard)));
      continue;
    }
    const bool is_awaited = std::ranges::any_of(workers_, [&, mine = index](const auto& other) {
      return other.first != mine && other.second.state.waiting > limits.stuck;
    });
    if (is_awaited && now - worker.advanced > limits.stuck) {
      replace(index, worker,
              str_cat("has done nothing for ", seconds_text(now - worker.advanced),
                      ", and others wait"));
    }
  }
}

// A worker says TRIREME_INCARNATION + 1.
void WorkerMonitor::replace(int index, Worker& worker, const std::string& why) {
  worker.replaced = true;
  const std::string sentence = str_cat("worker ", index, " ", why);
  const bool asked = replace_ && replace_({.type = TaskType::kWorker,
                                           .index = index,
                                           .start = static_cast<int64_t>(worker.incarnation) - 1,
                                           .why = sentence});
  log_.push_back(sentence + (asked ? ": its launcher is asked to replace it" : ": it hangs"));
}

}  // namespace trireme
