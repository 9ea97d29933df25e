// A TrainingGroup: the processes that train one model together, as the loop behind Model::fit sees
// them. The loop asks it before, between and after its steps; how processes reach each other is the
// group's business.
//
// The base class is the group of one: this process has the whole batch, its variables are where the
// session has them, and nobody can be lost. A group of several overrides what differs.
//
// Owned by whoever calls fit(), and outlives that call. Called by the thread that trains. An Error
// that a call throws ends the training as one of a step does.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/callbacks.h"
#include "core/nn/metrics.h"
#include "core/nn/step_function.h"

namespace trireme::nn {

// What this process does of one step that several processes, or several shards, do together.
struct StepShare {
  std::vector<BatchShard> shards;  // one for each row of TrainGraph::shard_keys; none: no shards
  int64_t examples = 0;            // that the step's loss is the mean of
  int64_t global_rows = 0;         // of the batch of all processes
  float vote = 0;                  // summed over the processes; more than 0 ends the training
};

struct FitData {
  data::Dataset train;
  std::optional<data::Dataset> validation = {};
};

class TrainingGroup {
 public:
  TrainingGroup() = default;
  virtual ~TrainingGroup() = default;
  TrainingGroup(const TrainingGroup&) = delete;

  // The group of one. Has no state, so all trainings may use the same object.
  static TrainingGroup& local();

  // Fills in this process's share of the step that comes next. `batch`: its position in the data
  // set. `share` holds the one of the step before.
  virtual void fill_share(int64_t batch, StepShare& share);

  // True if a step needs something of its batch ahead of time. Then the batch after the one of the
  // next step is read already, and peek() gets it with the number of its step, counted from 1.
  virtual bool reads_ahead() const;
  virtual void peek(int64_t step, const data::Element& batch);

  // So many steps are still taken after votes to stop were seen: processes that wait for each other
  // may see them at different steps.
  virtual int64_t steps_after_vote() const;

  // Brings the session's variables up to date where they live elsewhere. Called before they are
  // read: by the validation, by a checkpoint, at the end.
  virtual void refresh_variables();

  // The steps of an epoch are over, or this process stops within it (`stopping`). Where processes
  // see the loss of their own examples only, adds `sums` up over all of them. Returns true if any
  // process stops here. A group that changes `sums` or the model calls Training::changed().
  virtual bool leave_epoch(Training& training, bool stopping, RunningMeans& sums);

  // Asked before each batch of a validation, with its number: true if the validation ends here
  // without a result.
  virtual bool interrupts_validation(int64_t batch);
  // Adds `means` up over all processes. Returns true if the validation of any was `interrupted`,
  // which ends that of all.
  virtual bool reduce_validation(RunningMeans& means, bool interrupted);

  // True if recover() takes an error that a step, a validation or the end of an epoch threw. No
  // variable was changed by what failed.
  virtual bool can_recover_from(const Error& error) const;
  // Brings this process to where the group goes on, by Training::restore() where others are ahead.
  // Returns the data to go on with. Throws what ends the training; nothing is saved then.
  // REQUIRES: can_recover_from(error).
  virtual FitData recover(Training& training, const Error& error);
};

}  // namespace trireme::nn
