#include "core/formats/keras/training_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/formats/keras/option_config.h"

namespace trireme::formats {
namespace {

void note(const ConfigContext& context, std::string text) {
  if (context.notes != nullptr) context.notes->push_back(std::move(text));
}

ConfigContext at(const ConfigContext& context, std::string_view what) {
  ConfigContext inner = context;
  inner.place += str_cat(": ", what);
  return inner;
}

template <typename T>
std::shared_ptr<T> read_as(const Json& json, const ConfigContext& context) {
  auto component = read_component(json, T::kFamily, context);
  return std::shared_ptr<T>(dynamic_cast<T*>(component.release()));
}

// A value for each output: one for a single output, a list, or an object by the outputs' names.
std::vector<Json> for_outputs(const Json& json, const OutputNames& outputs) {
  std::vector<Json> result(outputs.size());
  if (json.is_object() && !json.contains("class_name")) {
    for (size_t i = 0; i < outputs.size(); ++i) result[i] = member(json, outputs[i].first);
  } else if (json.is_array()) {
    for (size_t i = 0; i < outputs.size() && i < json.size(); ++i) result[i] = json[i];
  } else if (!json.is_null()) {
    for (Json& each : result) each = json;
  }
  return result;
}

std::vector<Json> metrics_for_outputs(const Json& json, const OutputNames& outputs) {
  const bool is_flat = json.is_array() &&
                       std::ranges::none_of(json, [](const Json& each) { return each.is_array(); });
  if (outputs.size() == 1 && is_flat) return {json};
  return for_outputs(json, outputs);
}

void add_metrics(const Json& json, const ConfigContext& context, OutputTraining& output) {
  if (json.is_null()) return;
  for (const Json& each : json.is_array() ? json : Json::array({json})) {
    if (each.is_null()) continue;
    try {
      output.metrics.push_back(read_as<nn::MetricOptions>(each, context));
    } catch (const Error& error) {
      note(context, str_cat("left out a metric: ", error.what()));
    }
  }
}

}  // namespace

std::optional<TrainingPart> read_training(const Json& config, const OutputNames& outputs,
                                          const ConfigContext& context) {
  const Json& optimizer = config.contains("optimizer_config") ? config.at("optimizer_config")
                                                              : member(config, "optimizer");
  if (!optimizer.is_object() && !optimizer.is_string()) return std::nullopt;
  TrainingPart training;
  try {
    training.optimizer = read_as<nn::Optimizer>(optimizer, at(context, "optimizer"));
    const auto losses = for_outputs(member(config, "loss"), outputs);
    const auto weights = for_outputs(member(config, "loss_weights"), outputs);
    const auto metrics = metrics_for_outputs(member(config, "metrics"), outputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (losses[i].is_null()) continue;
      OutputTraining output;
      if (outputs.size() > 1) output.output = outputs[i].second;
      output.loss = read_as<nn::LossOptions>(losses[i], at(context, "loss"));
      if (weights[i].is_number()) output.weight = weights[i].get<double>();
      add_metrics(metrics[i], at(context, "metrics"), output);
      training.outputs.push_back(std::move(output));
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    note(context, str_cat("left out how it was trained: ", error.what()));
    return std::nullopt;
  }
  const Json& weighted = member(config, "weighted_metrics");
  if (weighted.is_array() && !weighted.empty()) {
    note(context, str_cat(context.place, ": left out weighted_metrics"));
  }
  return training;
}

Json write_training(const TrainingPart& training, const OutputNames& outputs,
                    const ConfigContext& context) {
  if (!training.optimizer || training.outputs.empty()) return nullptr;
  Json config = Json::object();
  Json losses = Json::array(), weights = Json::array(), metrics = Json::array();
  try {
    config["optimizer"] =
        component_json(*training.optimizer, nn::Optimizer::kFamily, at(context, "optimizer"));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto output = std::ranges::find_if(training.outputs, [&](const OutputTraining& each) {
        return each.output == outputs[i].second || (each.output.empty() && i == 0);
      });
      losses.push_back(nullptr);
      weights.push_back(1.0);
      metrics.push_back(Json::array());
      if (output == training.outputs.end()) continue;
      losses.back() = component_json(*output->loss, nn::LossOptions::kFamily, at(context, "loss"));
      weights.back() = output->weight;
      for (const auto& metric : output->metrics) {
        try {
          Json json = component_json(*metric, nn::MetricOptions::kFamily, at(context, "metrics"));
          // Which accuracy it is follows from the loss, in Keras too.
          if (json["class_name"] == "accuracy") json = "accuracy";
          metrics.back().push_back(std::move(json));
        } catch (const Error& error) {
          note(context, str_cat("left out a metric: ", error.what()));
        }
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    note(context, str_cat("left out how it is trained: ", error.what()));
    return nullptr;
  }
  const bool single = outputs.size() == 1;
  config["loss"] = single ? Json(losses.front()) : losses;
  config["loss_weights"] = single ? (weights.front() == 1.0 ? Json() : Json(weights)) : weights;
  config["metrics"] = single ? Json(metrics.front()) : metrics;
  config["weighted_metrics"] = nullptr;
  config["run_eagerly"] = false;
  config["steps_per_execution"] = 1;
  config["jit_compile"] = false;
  return config;
}

namespace {

// Keras's names of slots: of each group one after the other for each variable, and then the next
// group.
struct SlotName {
  std::string_view ours, keras;
};
struct SlotOrder {
  std::string_view optimizer;
  std::vector<std::vector<SlotName>> groups;
};
const std::vector<SlotOrder>& slot_orders() {
  static const std::vector<SlotName> kMoments = {{"m", "momentum"}, {"v", "velocity"}};
  static const std::vector<SlotOrder> kOrders = {
      {"sgd", {{{"momentum", "momentum"}}}},
      {"rmsprop",
       {{{"rms", "velocity"}}, {{"momentum", "momentum"}}, {{"mean", "average_gradient"}}}},
      {"adagrad", {{{"accumulator", "accumulator"}}}},
      {"adam", {kMoments}},
      {"adamw", {kMoments}},
      {"nadam", {kMoments}},
      {"lamb", {kMoments}},
      {"amsgrad", {kMoments, {{"top", "velocity_hat"}}}},
      {"adamax", {{{"m", "momentum"}, {"u", "norm"}}}},
      {"adadelta", {{{"gradients", "accumulated_grad"}, {"steps", "accumulated_delta_var"}}}},
      {"ftrl", {{{"accumulator", "accumulator"}, {"linear", "linear"}}}},
      {"lion", {{{"m", "momentum"}}}},
  };
  return kOrders;
}

}  // namespace

OptimizerVariables::OptimizerVariables(const nn::Optimizer& optimizer,
                                       const std::vector<VariableBinding>& bindings,
                                       const KerasObject& model)
    : optimizer_(optimizer), bindings_(bindings) {
  const auto& orders = slot_orders();
  const auto order = std::ranges::find(orders, optimizer.name(), &SlotOrder::optimizer);
  if (order == orders.end()) {
    throw invalid_argument("the optimizer ", optimizer.name(),
                           ": its variables are others in Keras");
  }
  const nn::UpdateOptions& update = optimizer.update_options();
  if (update.gradient_accumulation_steps > 1) {
    throw invalid_argument("the optimizer ", optimizer.name(), ": gradient_accumulation_steps: ",
                           "its sums of gradients are others in Keras");
  }
  // "dense_kernel" for the older layout.
  std::vector<std::string> paths;
  KerasObject copy = model;
  for_each_variable(copy, [&](const KerasObject& object, const KerasVariable& variable) {
    paths.push_back(str_cat(object.name, "_", variable.name));
  });
  const auto add = [&](std::string_view slot, std::string_view keras, size_t i, double initial) {
    const VariableBinding& binding = bindings_[i];
    slots_.push_back({.name = nn::slot_name(optimizer.name(), slot, binding.name),
                      .keras = str_cat(paths[i], "_", keras),
                      .binding = &binding,
                      .initial = initial,
                      .is_average = slot == nn::kAverageSlot});
  };
  for (size_t i = 0; update.use_ema && i < bindings_.size(); ++i) {
    if (bindings_[i].is_trained) add(nn::kAverageSlot, "average", i, 0);
  }
  for (const auto& group : order->groups) {
    for (size_t i = 0; i < bindings_.size(); ++i) {
      if (!bindings_[i].is_trained) continue;
      const auto specs = optimizer.slots_of(bindings_[i].name, bindings_[i].type.shape);
      for (const SlotName& name : group) {
        const auto spec = std::ranges::find(specs, name.ours, &SlotSpec::name);
        if (spec != specs.end()) add(name.ours, name.keras, i, spec->initial);
      }
    }
  }
  has_rate_ = !optimizer.has_schedule();
  has_product_ = optimizer.name() == "nadam";
}

size_t OptimizerVariables::count() const {
  return 1 + (has_rate_ ? 1 : 0) + slots_.size() + (has_product_ ? 1 : 0);
}

KerasObject OptimizerVariables::object(bool with_slots) const {
  KerasObject object{.class_name = optimizer_.name(),
                     .name = optimizer_.name(),
                     .attribute = "optimizer",
                     .in_list = false};
  const auto add = [&](const std::string& name) {
    object.variables.push_back({.name = name,
                                .path = str_cat(optimizer_.name(), "/", name),
                                .value = {},
                                .trainable = true});
  };
  add("iteration");
  if (has_rate_) add("learning_rate");
  if (!with_slots) return object;
  for (const Slot& slot : slots_) add(slot.keras);
  if (has_product_) add("variable");
  return object;
}

KerasObject OptimizerVariables::filled(const TrainingPart& training,
                                       const ConfigContext& context) const {
  KerasObject object = this->object(true);
  auto next = object.variables.begin();
  (next++)->value = Tensor::scalar<int64_t>(training.step);
  if (has_rate_) {
    (next++)->value =
        Tensor::scalar<float>(static_cast<float>(optimizer_.learning_rate(training.step)));
  }
  for (const Slot& slot : slots_) {
    const auto found = training.slots.find(slot.name);
    if (found != training.slots.end()) {
      (next++)->value = to_keras(*slot.binding, found->second);
      continue;
    }
    Tensor initial(DType::kFloat32, slot.binding->keras_shape);
    std::ranges::fill(initial.flat<float>(), static_cast<float>(slot.initial));
    (next++)->value = std::move(initial);
  }
  if (has_product_) {
    // The product of the momenta of the steps so far, which follows from their number.
    double product = 1;
    const Json options = write_options(optimizer_, nn::Optimizer::kFamily, context);
    const double beta = options.at("beta_1").get<double>();
    for (int64_t step = 1; step <= training.step && product > 0; ++step) {
      product *= beta * (1 - 0.5 * std::pow(0.96, static_cast<double>(step)));
    }
    (next++)->value = Tensor::scalar<float>(static_cast<float>(product));
  }
  return object;
}

void OptimizerVariables::take(const KerasObject& object, const std::string& place,
                              TrainingPart& training) const {
  auto next = object.variables.begin();
  const Tensor& steps = (next++)->value;
  if (steps.elements() != 1 || (steps.dtype() != DType::kInt64 && steps.dtype() != DType::kInt32)) {
    throw invalid_argument(place, ": optimizer: expected the number of steps, found ",
                           steps.type());
  }
  training.step =
      steps.dtype() == DType::kInt64 ? steps.flat<int64_t>()[0] : steps.flat<int32_t>()[0];
  if (training.step < 0) {
    throw invalid_argument(place, ": optimizer: expected a number of steps, found ", training.step);
  }
  if (has_rate_) ++next;
  if (object.variables.size() != count()) return;  // no step was taken
  for (const Slot& slot : slots_) {
    training.slots[slot.name] =
        from_keras(*slot.binding, (next++)->value, str_cat(place, ": ", slot.keras));
  }
}

}  // namespace trireme::formats
