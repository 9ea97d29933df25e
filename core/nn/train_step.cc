#include "core/nn/train_step.h"

#include <cmath>
#include <regex>
#include <unordered_map>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {

struct TrainStep::Part {
  Objective objective;
  TrainGraph graph;
  std::unique_ptr<StepFunction> function;
  int64_t steps = 0;
};

TrainStep::~TrainStep() = default;

TrainStep::TrainStep(Model& model, std::vector<Objective> objectives,
                     const std::vector<TensorType>& labels)
    : model_(model) {
  if (!model.is_built()) throw invalid_argument("TrainStep: build the model first");
  if (objectives.empty()) throw invalid_argument("TrainStep: expected at least one objective");
  if (model.options().precision == Precision::kMixedFloat16) {
    throw invalid_argument("TrainStep: losses are not scaled here; use mixed_bfloat16");
  }
  Graph& graph = model.graph();
  const Graph::Scope scope(graph, "train_step");
  Forward forward = model.build_forward(true);
  forward.labels.clear();
  forward.sample_weights = {};
  for (size_t i = 0; i < labels.size(); ++i) {
    TensorType type = labels[i];
    if (type.shape.rank() > 0) type.shape.set(0, -1);
    forward.labels.push_back(
        ops::placeholder(graph, str_cat("labels_", i), type.dtype, type.shape));
  }
  std::vector<Value> outputs = {forward.predictions};
  outputs.insert(outputs.end(), forward.other_predictions.begin(), forward.other_predictions.end());
  std::unordered_map<std::string, std::string> taken;  // the objective of each variable
  for (Objective& objective : objectives) {
    const std::string what = str_cat("objective \"", objective.name, "\"");
    if (!objective.loss || !objective.optimizer) {
      throw invalid_argument(what, ": expected a loss and an optimizer");
    }
    const Graph::Scope own(graph, objective.name);
    auto part = std::make_unique<Part>(Part{.objective = objective, .graph = {}, .function = {}});
    TrainGraph& train = part->graph;
    train.graph = &graph;
    train.variables = &model.variables_;
    train.forward = forward;
    train.learning_rate = ops::placeholder(graph, "learning_rate", DType::kFloat32, {});
    train.step = ops::placeholder(graph, "step", DType::kInt64, {});
    train.forward.loss = ops::mean(objective.loss(outputs, forward.labels));
    // Only those of the objective's own variables have gradients to them.
    for (const AddedLoss& added : forward.added_losses) {
      train.forward.loss = train.forward.loss + added.value;
    }
    std::regex pattern;
    try {
      pattern.assign(objective.variables);
    } catch (const std::regex_error& error) {
      throw invalid_argument(what, ": \"", objective.variables,
                             "\" is no regular expression: ", error.what());
    }
    std::vector<Value> wrt;
    std::vector<std::string> names;
    for (const VariableSpec& spec : model.variables().all()) {
      if (spec.role != VariableRole::kTrainable || !spec.copy_of.empty()) continue;
      if (!std::regex_match(spec.name, pattern)) continue;
      const auto [other, is_new] = taken.emplace(spec.name, objective.name);
      if (!is_new) {
        throw invalid_argument(what, ": the variable \"", spec.name, "\" is that of \"",
                               other->second, "\" already; each belongs to one objective");
      }
      wrt.push_back(spec.value);
      names.push_back(spec.name);
    }
    if (wrt.empty()) {
      throw invalid_argument(what, ": no trainable variable's name matches \"", objective.variables,
                             "\"");
    }
    const std::vector<Gradient> found = gradients(train.forward.loss, wrt);
    for (size_t i = 0; i < wrt.size(); ++i) {
      if (found[i].defined()) train.updates.push_back({wrt[i], found[i]});
    }
    if (train.updates.empty()) {
      throw invalid_argument(what, ": its loss depends on none of its variables");
    }
    std::erase_if(train.forward.moving_averages, [&](const MovingAverage& average) {
      return !std::regex_match(average.variable.node->attribute<std::string>("name"), pattern);
    });
    add_updates(train, *objective.optimizer);
    parts_.push_back(std::move(part));
  }
  model.initialize_variables();
  for (const auto& part : parts_) {
    part->function = std::make_unique<StepFunction>(model.session(), part->graph);
  }
}

TrainStep::Part& TrainStep::part(std::string_view objective) const {
  for (const auto& part : parts_) {
    if (part->objective.name == objective) return *part;
  }
  throw invalid_argument("TrainStep: there is no objective \"", objective, "\"");
}

double TrainStep::run(Part& part, data::Element& batch) {
  part.function->run(batch, {.step = part.steps,
                             .learning_rate = part.objective.optimizer->learning_rate(part.steps)});
  ++part.steps;
  const double loss = part.function->values()[0];
  if (!std::isfinite(loss)) {
    throw failed("step ", part.steps, " of objective \"", part.objective.name, "\": the loss is ",
                 loss, "; try a lower learning rate");
  }
  return loss;
}

std::vector<double> TrainStep::run(data::Element& batch) {
  std::vector<double> losses;
  for (const auto& part : parts_) losses.push_back(run(*part, batch));
  return losses;
}

double TrainStep::run(std::string_view objective, data::Element& batch) {
  return run(part(objective), batch);
}

int64_t TrainStep::steps(std::string_view objective) const { return part(objective).steps; }

}  // namespace trireme::nn
