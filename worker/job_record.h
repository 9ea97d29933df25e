// The job that wrote a checkpoint, kept in it, so that a training that goes on from it says what is
// different now. Private to worker/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/callbacks.h"
#include "worker/task.h"

namespace trireme {

// A field of the job, or a fact that follows from it and its data ("workers"), by the path that
// --set would name it with.
struct JobDifference {
  std::string field;
  std::string then, now;
};

// Saves the job of `task` in each checkpoint.
class JobRecord : public nn::Callback {
 public:
  explicit JobRecord(const Task& task);
  void save(nn::StateMap& state) const override;

 private:
  std::string text_;
};

// What is not as it was when `state` was saved, in the order of proto/job.proto; nothing: the state
// does not say what it was saved by. Where its outputs lie and how often it saves are no part of
// it.
std::optional<std::vector<JobDifference>> compare_with_record(const Task& task,
                                                              const nn::StateMap& state);

}  // namespace trireme
