// Model::train_on_batch and Model::test_on_batch.
#include <cmath>

#include "core/base/error.h"
#include "core/nn/diagnose.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

BatchTypes types_of(const Batch& batch) {
  BatchTypes types;
  const auto add = [&](const std::vector<Tensor>& tensors, std::vector<TensorType>& to,
                       std::string_view what) {
    for (const Tensor& tensor : tensors) {
      if (!tensor.defined() || tensor.shape().rank() == 0) {
        throw invalid_argument("expected a batch [batch, …] of ", what);
      }
      types.names.push_back(str_cat(what, "_", to.size()));
      to.push_back(tensor.type());
    }
  };
  add(batch.features, types.features, "feature");
  add(batch.labels, types.labels, "label");
  if (types.features.empty() || types.labels.empty()) {
    throw invalid_argument("expected a batch of features and labels");
  }
  if (batch.sample_weights) types.sample_weights = batch.sample_weights->type();
  return types;
}

data::Element element_of(const Batch& batch) {
  data::Element element = batch.features;
  element.insert(element.end(), batch.labels.begin(), batch.labels.end());
  if (batch.sample_weights) element.push_back(*batch.sample_weights);
  return element;
}

std::map<std::string, double> figures_of(const StepFunction& step, const Forward& forward) {
  RunningMeans means = running_means(forward);
  means.add(step.values(), step.examples(), step.rows());
  std::map<std::string, double> figures;
  if (const auto loss = means.value(0)) figures["loss"] = *loss;
  for (size_t i = 0; i < forward.metrics.size(); ++i) {
    if (const auto value = means.value(i + 1)) figures[forward.metrics[i].name] = *value;
  }
  return figures;
}

}  // namespace

std::map<std::string, double> Model::train_on_batch(const Batch& batch) {
  require_compiled();
  if (compile_.build_gradients) {
    throw invalid_argument("train_on_batch: one process trains, and the model has a strategy");
  }
  build_training(types_of(batch));
  if (!batch_step_) batch_step_ = std::make_unique<StepFunction>(*session_, train_graph_);
  data::Element element = element_of(batch);
  if (const auto wrong = find_wrong_label(element)) throw invalid_argument("the batch: ", *wrong);
  const StepInputs inputs{.step = batch_steps_,
                          .learning_rate = compile_.optimizer->learning_rate(batch_steps_)};
  batch_step_->run(element, inputs);
  ++batch_steps_;
  if (const double loss = batch_step_->values()[0]; !std::isfinite(loss)) {
    data::ElementSpec spec;
    for (size_t i = 0; i < element.size(); ++i) {
      const std::string name = i < data_names_.size() ? data_names_[i] : std::string(kSampleWeight);
      spec.push_back({name, element[i].dtype(), element[i].shape()});
    }
    throw failed("step ", batch_steps_, ": the loss is ", loss, "; ",
                 find_non_finite(*this, spec, element, inputs));
  }
  return figures_of(*batch_step_, train_graph_.forward);
}

std::map<std::string, double> Model::test_on_batch(const Batch& batch) {
  build_evaluation(types_of(batch));
  if (!evaluate_step_) evaluate_step_ = std::make_unique<StepFunction>(*session_, inference_);
  data::Element element = element_of(batch);
  if (const auto wrong = find_wrong_label(element)) throw invalid_argument("the batch: ", *wrong);
  evaluate_step_->run(element);
  return figures_of(*evaluate_step_, inference_);
}

}  // namespace trireme::nn
