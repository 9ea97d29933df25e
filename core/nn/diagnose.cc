#include "core/nn/diagnose.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

std::optional<int64_t> first_non_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return std::nullopt;
  if (tensor.dtype() == DType::kFloat32) {
    const auto values = tensor.flat<float>();
    const auto at = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
    if (at == values.end()) return std::nullopt;
    return at - values.begin();
  }
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    if (!std::isfinite(tensor.as_double(i))) return i;
  }
  return std::nullopt;
}

std::string element(const Tensor& tensor, int64_t at) {
  return str_cat("element ", at, " of ", tensor.type(), " is ", tensor.as_double(at));
}

}  // namespace

std::string find_non_finite_variable(Model& model) {
  for (const VariableSpec& variable : model.variables().all()) {
    if (!variable.copy_of.empty()) continue;
    const Tensor value = model.session().variables().get(variable.name);
    if (const auto at = first_non_finite(value)) {
      return str_cat("the first tensor that is not finite is the variable \"", variable.name,
                     "\", ", element(value, *at), "; try a lower learning rate");
    }
  }
  return "";
}

std::string find_non_finite(Model& model, const data::ElementSpec& spec, const data::Element& batch,
                            const StepInputs& inputs) {
  for (size_t i = 0; i < batch.size(); ++i) {
    if (const auto at = first_non_finite(batch[i])) {
      const int64_t row = *at / (batch[i].elements() / batch[i].shape()[0]);
      return str_cat("the data is not finite: row ", row, " of \"", spec[i].name,
                     "\" in this batch, ", element(batch[i], *at), "; clean the data set");
    }
  }
  if (std::string variable = find_non_finite_variable(model); !variable.empty()) return variable;
  const TrainGraph& train = model.train_graph();
  std::vector<std::string> names;
  std::vector<Value> fetches;
  for (const NamedValue& output : train.forward.outputs) {
    names.push_back("the output of layer \"" + output.name + "\"");
    fetches.push_back(output.value);
  }
  for (const Update& update : train.updates) {
    names.push_back(
        str_cat("the gradient of \"", update.variable.node->attribute<std::string>("name"), "\""));
    fetches.push_back(update.local_gradient.defined() ? update.local_gradient
                                                      : update.gradient.values);
  }
  std::vector<std::pair<Value, Tensor>> feeds = {
      {train.learning_rate, Tensor::scalar(static_cast<float>(inputs.learning_rate))},
      {train.step, Tensor::scalar<int64_t>(inputs.step + 1)},
      {train.forward.random_key, Tensor::from<int64_t>({2}, {inputs.step, 0})}};
  const std::vector<Value> data = train.forward.data();
  for (size_t i = 0; i < data.size(); ++i) feeds.emplace_back(data[i], batch[i]);
  if (train.shard_keys.defined()) {
    const auto shards = static_cast<int64_t>(inputs.shards.size());
    Tensor keys(DType::kInt64, {shards, 2}), weights(DType::kFloat32, {shards});
    for (int64_t i = 0; i < shards; ++i) {
      const BatchShard& shard = inputs.shards[static_cast<size_t>(i)];
      keys.flat<int64_t>()[static_cast<size_t>(2 * i)] = inputs.step;
      keys.flat<int64_t>()[static_cast<size_t>(2 * i + 1)] = shard.first_example;
      weights.flat<float>()[static_cast<size_t>(i)] = static_cast<float>(shard.weight);
    }
    feeds.emplace_back(train.shard_keys, keys);
    feeds.emplace_back(train.shard_weights, weights);
  }
  const std::vector<Tensor> found = model.session().run(feeds, fetches);
  for (size_t i = 0; i < found.size(); ++i) {
    if (const auto at = first_non_finite(found[i])) {
      return str_cat("the first tensor that is not finite is ", names[i], ", ",
                     element(found[i], *at), "; try a lower learning rate");
    }
  }
  return "variables, layer outputs and gradients are finite: the loss function itself overflows";
}

}  // namespace trireme::nn
