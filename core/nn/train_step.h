// A training step of one's own: several losses, each minimized by an optimizer of its own over a
// part of the variables. A generative adversarial network, for one:
//
//   Model model({noise, real}, {judge(generator(noise)), judge(real)});
//   model.build();
//   TrainStep step(model, {{.name = "judge", .loss = …, .optimizer = …, .variables = "judge_.*"},
//                          {.name = "generator", .loss = …, .optimizer = …, .variables =
//                          "gen_.*"}});
//   for (data::Element batch; batches.next(batch);) std::vector<double> losses = step.run(batch);
//
// Passes, gradients, updates and devices are those of Model::fit(); strategies and callbacks are
// not: one process trains. One thread. The model outlives the object, and is not compiled.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/nn/model.h"

namespace trireme::nn {

struct Objective {
  std::string name;  // for messages, and TrainStep::run
  // From the model's outputs, in their order, and `labels`; the mean of its elements is minimized.
  std::function<Value(std::span<const Value> outputs, std::span<const Value> labels)> loss;
  std::shared_ptr<const Optimizer> optimizer;
  // A regular expression of whole names: the trainable variables that it changes, and the moving
  // averages that move with its steps.
  std::string variables = ".*";
};

class TrainStep {
 public:
  // `labels`: the types of what a batch has behind the model's features. Throws
  // Error{kInvalidArgument} when an objective has no variables, its loss depends on none of them,
  // or two objectives share one.
  TrainStep(Model& model, std::vector<Objective> objectives,
            const std::vector<TensorType>& labels = {});
  ~TrainStep();
  TrainStep(const TrainStep&) = delete;

  // Takes a step of each objective, in order; each sees what those before it changed. Returns the
  // losses, each from before its own update. `batch`: the features, then the labels.
  std::vector<double> run(data::Element& batch);
  // A step of one of them.
  double run(std::string_view objective, data::Element& batch);
  int64_t steps(std::string_view objective) const;

 private:
  struct Part;
  Part& part(std::string_view objective) const;
  double run(Part& part, data::Element& batch);

  Model& model_;
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace trireme::nn
