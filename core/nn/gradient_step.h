// A step whose gradients can be looked at. Private to core/nn.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/nn/step_function.h"
#include "core/nn/train_state.h"

namespace trireme::nn {

class GradientStep {
 public:
  GradientStep(Session& session, const TrainGraph& graph);

  StepFunction& function() { return function_; }
  // What StepFunction::rows() has of the graph's own metrics.
  std::span<const Tensor> rows() const { return function_.rows().first(own_rows_); }
  // Of the last step, by variable.
  StateMap gradients() const;

 private:
  std::vector<std::string> names_;
  size_t own_rows_;
  StepFunction function_;
};

}  // namespace trireme::nn
