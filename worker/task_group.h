// A TaskGroup: how a task takes part in the steps of its training, as one of `workers()`.
//
// The class itself is the group of a task that trains alone: it gives each step the shares that the
// strategy cuts the batch into, and ends a validation when the task is told to stop. Groups of
// several workers derive from it: AllReduceGroup and ServerGroup. Private to worker/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/nn/training_group.h"
#include "worker/survivor.h"
#include "worker/task.h"

namespace trireme {

class TaskGroup : public nn::TrainingGroup {
 public:
  // `task` outlives the group.
  explicit TaskGroup(Task& task) : task_(task) {}

  // Of this process among the workers. They change when a worker is lost.
  virtual int rank() const { return task_.cluster.rank; }
  virtual int workers() const { return task_.cluster.world_size; }
  // One worker tells people how it goes, and writes what all have in common.
  bool is_rank_zero() const { return rank() == 0; }
  void say(const std::string& text) const;
  bool stopping() const { return task_.options.stop != nullptr && *task_.options.stop; }

  // This worker's part of the data.
  data::Dataset train_batches() const { return task_.train_batches(rank(), workers()); }
  virtual data::Dataset validation_batches() const {
    return task_.validation_batches(rank(), workers());
  }

  // The last callback, by which workers end together; null: none is needed. `all`: the others.
  virtual std::shared_ptr<nn::Callback> make_farewell(
      std::vector<std::shared_ptr<nn::Callback>> all);
  // The training has ended. Returns when all members have called it: true if any task was
  // interrupted from the keyboard, or this one was (`interrupted`).
  virtual bool agree_on_interrupt(bool interrupted);
  // Who is left of a group that has ended for good; null: it has not.
  virtual const Survivor* survivor() const { return nullptr; }

  void fill_share(int64_t batch, nn::StepShare& share) override;
  bool interrupts_validation(int64_t /*batch*/) override { return stopping(); }

 protected:
  Task& task_;
};

}  // namespace trireme
