// More of a training than callbacks usually need: the place within an epoch, validation data,
// tables, gradients. The Training of Model::fit() is one:
//
//   const auto* details = dynamic_cast<const TrainingDetails*>(&training);
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/train_state.h"

namespace trireme::nn {

class TrainingDetails {
 public:
  virtual ~TrainingDetails() = default;
  // Of an epoch, and those that are taken in this one. -1: known only when the data have ended.
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t epoch_step() const = 0;
  // Epochs that are finished.
  virtual int64_t epochs_done() const = 0;
  // What the epochs are validated with; null: nothing.
  virtual const data::Dataset* validation() const = 0;
  // As in History::tables, of the last epoch.
  virtual const std::map<std::string, std::vector<double>>& tables() const = 0;
  // Of the last step, by variable, as the optimizer took them: of all workers, and clipped where it
  // clips. Of a table that was looked up, the rows that were. Empty unless a GradientUser asked.
  virtual StateMap gradients() const = 0;
};

// What a callback is, too, that looks at gradients.
class GradientUser {
 public:
  virtual ~GradientUser() = default;
  // Whether gradients() is to be there after the next step, which is then one of another plan.
  // Asked before each step. REQUIRES: the same answer on all workers.
  virtual bool wants_gradients(const TrainingDetails& training) const = 0;
};

}  // namespace trireme::nn
