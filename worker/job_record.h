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

// The text of the job that a checkpoint was written by, with its features as model { inputs };
// nothing: the checkpoint does not say it.
std::optional<std::string> recorded_job(const nn::StateMap& state);
// Facts of such a text: "data", "precision", "workers", "training examples", "steps of an epoch";
// none of a text that is no record.
std::map<std::string, std::string> recorded_facts(const std::string& text);
// The same of a model that was not trained here: a training that goes on from it is another's, and
// is not compared.
void record_model(const std::string& text, nn::StateMap& state);
bool is_recorded_model(const nn::StateMap& state);

// What is not as it was when `state` was saved, in the order of proto/job.proto; nothing: the state
// does not say what it was saved by. Where its outputs lie and how often it saves are no part of
// it.
std::optional<std::vector<JobDifference>> compare_with_record(const Task& task,
                                                              const nn::StateMap& state);

}  // namespace trireme
