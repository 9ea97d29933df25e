#include "worker/task_group.h"

#include <iostream>

namespace trireme {

void TaskGroup::say(const std::string& text) const {
  if (!task_.options.quiet && is_rank_zero()) std::cerr << text << std::flush;
}

std::shared_ptr<nn::Callback> TaskGroup::make_farewell(
    std::vector<std::shared_ptr<nn::Callback>> /*all*/) {
  return nullptr;
}

bool TaskGroup::agree_on_interrupt(bool /*interrupted*/) { return false; }

void TaskGroup::fill_share(int64_t batch, nn::StepShare& share) {
  if (!task_.strategy) return;
  task_.strategy->fill_share(task_.global_rows(batch), rank(), workers(), share);
  share.vote = stopping() ? 1 : 0;
  task_.slots->set_step(batch + 1);
}

}  // namespace trireme
