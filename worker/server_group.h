// The group of workers whose variables are on parameter servers. They do not talk to each other: a
// step meets the others' in the servers' tables, and what the workers agree on at the end of an
// epoch is added up there too. Private to worker/.
#pragma once

#include "worker/server_training.h"
#include "worker/task_group.h"

namespace trireme {

class ServerGroup : public TaskGroup {
 public:
  // `restarts`: a lost worker, this one too, is started again and goes on behind its last push.
  // `servers` outlives the group.
  ServerGroup(Task& task, ServerTraining& servers, bool restarts)
      : TaskGroup(task), servers_(servers), restarts_(restarts) {}

  // Workers that wait at the servers for this one do not take it for hung.
  data::Dataset validation_batches() const override;
  bool agree_on_interrupt(bool interrupted) override { return servers_.finish(interrupted); }

  bool reads_ahead() const override { return servers_.prefetches(); }
  void peek(int64_t step, const data::Element& batch) override { servers_.prefetch(step, batch); }
  int64_t steps_after_vote() const override { return servers_.steps_after_vote(); }
  void refresh_variables() override { servers_.pull_variables(); }
  bool leave_epoch(nn::Training& training, bool stopping, nn::RunningMeans& sums) override;
  bool reduce_validation(nn::RunningMeans& means, bool interrupted) override;
  bool can_recover_from(const Error& error) const override;
  [[noreturn]] nn::FitData recover(nn::Training& training, const Error& error) override;

 private:
  ServerTraining& servers_;
  const bool restarts_;
  int64_t epoch_ = 0;  // that was left last
};

// Of an error that ends a training with servers in the middle of a step.
Error servers_not_whole(const Error& error);

}  // namespace trireme
