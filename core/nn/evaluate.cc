// Model::evaluate and Model::predict.
#include <cstring>
#include <functional>
#include <optional>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/model.h"

namespace trireme::nn {
namespace {

// While it lives, the variables have the values of their averages. Another one within it changes
// nothing.
class AveragesInPlace {
 public:
  AveragesInPlace(VariableStore& store, const Optimizer* optimizer, bool& in_place,
                  const std::function<StateMap()>& averages)
      : store_(store), in_place_(in_place) {
    if (in_place_ || optimizer == nullptr || !optimizer->update_options().use_ema) return;
    const size_t prefix = slot_name(optimizer->name(), kAverageSlot, "").size();
    for (const auto& [name, value] : averages()) {
      const std::string variable = name.substr(prefix);
      saved_[variable] = store_.get(variable);
      store_.set(variable, value);
    }
    in_place_ = !saved_.empty();
  }
  ~AveragesInPlace() {
    for (const auto& [name, value] : saved_) store_.set(name, value);
    if (!saved_.empty()) in_place_ = false;
  }
  AveragesInPlace(const AveragesInPlace&) = delete;

 private:
  VariableStore& store_;
  bool& in_place_;
  StateMap saved_;
};

}  // namespace

std::optional<RunningMeans> Model::evaluate_means(const data::Dataset& dataset,
                                                  TrainingGroup& group) {
  const BatchTypes types = batch_types(dataset, label_components());
  if (dataset.cardinality() == data::kInfinite) {
    throw invalid_argument("an endless data set cannot be evaluated; call take(count) on it");
  }
  build_evaluation(types);
  for (const std::string& warning : take_warnings()) log_warning(warning);
  if (!evaluate_step_) evaluate_step_ = std::make_unique<StepFunction>(*session_, inference_);
  const AveragesInPlace in_place(session_->variables(), compile_.optimizer.get(),
                                 averages_in_place_, [this] { return averages(); });
  RunningMeans means = running_means(inference_);
  data::Iterator iterator = dataset.iterator();
  bool interrupted = false;
  data::Element batch;
  for (int64_t i = 0; iterator.next(batch); ++i) {
    interrupted = group.interrupts_validation(i);
    if (interrupted) break;
    if (const auto wrong = find_wrong_label(batch)) {
      throw invalid_argument("evaluation, batch ", i + 1, " of this process: ", *wrong);
    }
    evaluate_step_->run(batch);
    means.add(evaluate_step_->values(), evaluate_step_->examples(), evaluate_step_->rows());
  }
  if (group.reduce_validation(means, interrupted)) return std::nullopt;
  return means;
}

Model::Evaluation Model::evaluate_all(const data::Dataset& dataset) {
  const RunningMeans means = *evaluate_means(dataset);
  if (!means.value(0)) {
    throw invalid_argument(
        "evaluate: the data set has no examples, so there is no loss and no metric");
  }
  Evaluation found{.values = {{"loss", *means.value(0)}}, .tables = {}};
  for (size_t i = 0; i < inference_.metrics.size(); ++i) {
    const std::string& name = inference_.metrics[i].name;
    if (const auto value = means.value(i + 1)) found.values[name] = *value;
    if (!means.is_table(i + 1)) continue;
    const auto table = means.table(i + 1);
    found.tables[name] = {table.begin(), table.end()};
  }
  return found;
}

Tensor Model::predict(std::span<const Tensor> features) { return predict_all(features)[0]; }

std::vector<Tensor> Model::predict_all(std::span<const Tensor> features) {
  std::vector<TensorType> types;
  for (const Tensor& feature : features) {
    if (!feature.defined() || feature.shape().rank() == 0) {
      throw invalid_argument("predict: expected a batch [batch, …]");
    }
    types.push_back(feature.type());
  }
  build(types);
  if (!predict_function_) {
    std::vector<Value> outputs = {inference_.predictions};
    outputs.insert(outputs.end(), inference_.other_predictions.begin(),
                   inference_.other_predictions.end());
    predict_function_ = session_->function(inference_.features, outputs);
  }
  const AveragesInPlace in_place(session_->variables(), compile_.optimizer.get(),
                                 averages_in_place_, [this] { return averages(); });
  std::vector<Tensor> results;
  predict_function_->run(features, results);
  return results;
}

namespace {

// The rows of all parts, one after the other.
Tensor joined(const std::vector<Tensor>& parts) {
  int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.shape()[0];
  Shape shape = parts[0].shape();
  shape.set(0, rows);
  Tensor all(parts[0].dtype(), shape);
  auto* to = static_cast<char*>(all.raw());
  for (const Tensor& part : parts) {
    std::memcpy(to, part.raw(), part.bytes());
    to += part.bytes();
  }
  return all;
}

}  // namespace

Tensor Model::predict(const data::Dataset& dataset) { return predict_all(dataset)[0]; }

std::vector<Tensor> Model::predict_all(const data::Dataset& dataset) {
  // Labels and weights, where there are any, are not looked at.
  const size_t components = dataset.element_spec().size();
  const size_t features = components == 1                                ? 1
                          : is_built() && components >= features_.size() ? features_.size()
                                                                         : components - 1;
  if (dataset.cardinality() == data::kInfinite) {
    throw invalid_argument("an endless data set cannot be predicted; call take(count) on it");
  }
  std::optional<AveragesInPlace> in_place;  // for all batches
  if (is_built()) {
    in_place.emplace(session_->variables(), compile_.optimizer.get(), averages_in_place_,
                     [this] { return averages(); });
  }
  std::vector<std::vector<Tensor>> parts(network_.outputs().size());  // by output
  data::Iterator iterator = dataset.iterator();
  for (data::Element batch; iterator.next(batch);) {
    std::vector<Tensor> found = predict_all(std::span(batch).first(features));
    for (size_t i = 0; i < parts.size(); ++i) parts[i].push_back(std::move(found[i]));
  }
  if (parts.empty() || parts[0].empty()) throw invalid_argument("predict: the data set is empty");
  std::vector<Tensor> all;
  for (const std::vector<Tensor>& of_output : parts) all.push_back(joined(of_output));
  return all;
}

}  // namespace trireme::nn
