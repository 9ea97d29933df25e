#include "core/formats/keras/config_exceptions.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

using Adapt = void (*)(Json& config, const ConfigContext& context);

[[noreturn]] void refuse(const ConfigContext& context, const std::string& key,
                         std::string_view expected, const Json& found) {
  throw invalid_argument(context.place, ": ", key, ": expected ", expected, ", found ",
                         brief(found));
}

void set_default(Json& config, const std::string& key, const Json& value) {
  if (!config.contains(key)) config[key] = value;
}
// Keras has null where we have a value that says the same.
void null_is(Json& config, const std::string& key, const Json& value) {
  if (const auto found = config.find(key); found != config.end() && found->is_null()) {
    *found = value;
  }
}
void null_for(Json& config, const std::string& key, const Json& value) {
  if (const auto found = config.find(key); found != config.end() && *found == value) {
    *found = nullptr;
  }
}
// An option that Keras does not have: left out where it is `value`.
void leave_out(Json& config, const std::string& key, const Json& value,
               const ConfigContext& context) {
  const auto found = config.find(key);
  if (found == config.end()) return;
  if (*found != value)
    refuse(context, key, str_cat(brief(value), ", as Keras cannot be told"), *found);
  config.erase(key);
}
void rename(Json& config, const std::string& from, const std::string& to) {
  const auto found = config.find(from);
  if (found == config.end()) return;
  Json value = *found;
  config.erase(from);
  config[to] = std::move(value);
}
void unwrap_single(Json& config, const std::string& key) {
  const auto found = config.find(key);
  if (found == config.end() || !found->is_array() || found->size() != 1) return;
  Json value = found->front();
  *found = std::move(value);
}

// --- Layers

// The last axis, by whatever number.
void require_last_axis(Json& config, const ConfigContext& context) {
  const auto found = config.find("axis");
  if (found == config.end()) return;
  const Json& axis = found->is_array() && found->size() == 1 ? found->front() : *found;
  const int rank = context.inputs.empty() ? 0 : context.inputs.front().shape.rank();
  if (axis != -1 && (rank == 0 || axis != rank - 1)) {
    refuse(context, "axis", "the last one, -1", *found);
  }
  config.erase("axis");
}

void einsum_from(Json& config, const ConfigContext&) {
  null_is(config, "bias_axes", "");
  if (auto shape = config.find("output_shape"); shape != config.end() && shape->is_array()) {
    for (Json& size : *shape) {
      if (size.is_null()) size = -1;
    }
  }
}
void einsum_to(Json& config, const ConfigContext&) {
  null_for(config, "bias_axes", "");
  for (Json& size : config["output_shape"]) {
    if (size == -1) size = nullptr;
  }
}
void leaky_relu_from(Json& config, const ConfigContext&) {
  rename(config, "alpha", "negative_slope");
}
void dot_to(Json& config, const ConfigContext&) { unwrap_single(config, "axes"); }
void single_axis_from(Json& config, const ConfigContext&) { unwrap_single(config, "axis"); }

void attention_from(Json& config, const ConfigContext& context) {
  // The mask is said in the call, and the axis of attention is that of time.
  const auto axes = config.find("attention_axes");
  if (axes != config.end()) {
    if (!axes->is_null() && *axes != Json::array({1}))
      refuse(context, "attention_axes", "1", *axes);
    config.erase("attention_axes");
  }
}
void attention_to(Json& config, const ConfigContext&) { config.erase("use_causal_mask"); }

void wrapper_from(Json& config, const ConfigContext& context) {
  const Json layer = member(config, "layer");
  if (!layer.is_object()) refuse(context, "layer", "a layer", layer);
  config["layer"] = Json::array({layer});
}
void wrapper_to(Json& config, const ConfigContext&) { unwrap_single(config, "layer"); }

std::string without_prefix(std::string text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// Both layers are alike but for their direction and what they are called.
void bidirectional_from(Json& config, const ConfigContext& context) {
  Json layer = member(config, "layer");
  Json inner = member(layer, "config");
  if (!inner.is_object()) refuse(context, "layer", "a recurrent layer", layer);
  const Json backward = member(config, "backward_layer");
  if (const Json& other = member(backward, "config"); other.is_object()) {
    Json expected = inner;
    expected["go_backwards"] = member(inner, "go_backwards") != true;
    for (const auto& [key, value] : other.items()) {
      const bool may_differ = key == "name" || key == "seed" || key == "dtype" ||
                              key == "trainable" || key.ends_with("_initializer");
      if (may_differ || member(expected, key) == value) continue;
      throw invalid_argument(context.place, ": backward_layer: ", key, ": expected ",
                             brief(member(expected, key)), " as the forward layer has it, found ",
                             brief(value));
    }
  }
  config.erase("backward_layer");
  if (const Json& name = member(inner, "name"); name.is_string()) {
    inner["name"] = without_prefix(name.get<std::string>(), "forward_");
  }
  // Set by Keras for both directions, and so it is here.
  inner.erase("zero_output_for_mask");
  if (config.contains("merge_mode") && member(config, "merge_mode").is_null()) {
    refuse(context, "merge_mode", "concat, sum, mul or ave, as a layer gives one value", nullptr);
  }
  layer["config"] = std::move(inner);
  config["layer"] = Json::array({std::move(layer)});
}
void bidirectional_to(Json& config, const ConfigContext& context) {
  wrapper_to(config, context);
  Json layer = config["layer"], backward = layer;
  const std::string name = layer["config"].value("name", "rnn");
  layer["config"]["name"] = "forward_" + name;
  backward["config"]["name"] = "backward_" + name;
  backward["config"]["go_backwards"] = !layer["config"].value("go_backwards", false);
  config["layer"] = std::move(layer);
  config["backward_layer"] = std::move(backward);
}

void lstm_to(Json& config, const ConfigContext& context) {
  leave_out(config, "return_state", false, context);
}
void lstm_from(Json& config, const ConfigContext& context) {
  if (member(config, "return_state") == true) {
    refuse(context, "return_state", "false, as a layer gives one value", true);
  }
}
void shared_axes_to(Json& config, const ConfigContext&) {
  null_for(config, "shared_axes", Json::array());
}
void normalization_from(Json& config, const ConfigContext& context) {
  require_last_axis(config, context);
  for (const std::string key : {"mean", "variance"}) {
    // [[[m, …]]]: brought to the rank of the input.
    for (auto found = config.find(key); found != config.end() && found->is_array() &&
                                        found->size() == 1 && found->front().is_array();) {
      Json inner = found->front();
      *found = std::move(inner);
    }
  }
}
void normalization_to(Json& config, const ConfigContext&) {
  null_for(config, "mean", Json::array());
  null_for(config, "variance", Json::array());
}
void value_range_from(Json& config, const ConfigContext&) {
  set_default(config, "value_range", Json::array({0, 255}));
}
// Those that do not say whether they are trained.
void untrained_to(Json& config, const ConfigContext&) { config.erase("trainable"); }

// One number f for −f … f.
void factors_to(Json& config, const ConfigContext&) {
  for (const char* const key :
       {"factor", "height_factor", "width_factor", "x_factor", "y_factor"}) {
    unwrap_single(config, key);
    null_for(config, key, Json::array());
  }
}

// --- Initializers, constraints

void fan_in_uniform_to(Json& config, const ConfigContext&) {
  config["scale"] = 1.0 / 3.0;
  config["mode"] = "fan_in";
  config["distribution"] = "uniform";
}
void norm_axis_to(Json& config, const ConfigContext&) { unwrap_single(config, "axis"); }

// --- Optimizers and schedules

void optimizer_from(Json& config, const ConfigContext& context) {
  // A share by which Keras 1 lowered the rate, which all later ones write as 0.
  if (const Json& decay = member(config, "decay"); !decay.is_null() && decay != 0) {
    refuse(context, "decay", "0, as there is a schedule for it", decay);
  }
  config.erase("decay");
  if (config.contains("learning_rate") && config["learning_rate"].is_object()) {
    Json schedule = config["learning_rate"];
    const Json& options = member(schedule, "config");
    const Json& initial = member(options, "initial_learning_rate");
    if (initial.is_number()) {
      config["learning_rate"] = initial;
    } else {
      config.erase("learning_rate");  // a rate for each piece
    }
    config["schedule"] = std::move(schedule);
  }
  null_is(config, "weight_decay", 0.0);
  null_is(config, "ema_overwrite_frequency", 0);
  null_is(config, "gradient_accumulation_steps", 1);
}

void optimizer_to(Json& config, const ConfigContext& context) {
  if (config["weight_decay"] == 0) config.erase("decay");
  leave_out(config, "decay", "all", context);
  leave_out(config, "exclude_from_weight_decay", Json::array(), context);
  null_for(config, "ema_overwrite_frequency", 0);
  null_for(config, "gradient_accumulation_steps", 1);
  const Json schedule = config["schedule"];
  config.erase("schedule");
  if (schedule.is_null()) return;
  Json rate = schedule;
  if (rate["class_name"] != "PiecewiseConstantDecay") {
    rate["config"]["initial_learning_rate"] = config["learning_rate"];
  }
  config["learning_rate"] = std::move(rate);
}
void plain_optimizer_to(Json& config, const ConfigContext& context) {
  optimizer_to(config, context);
  null_for(config, "weight_decay", 0.0);
}
void amsgrad_from(Json& config, const ConfigContext& context) {
  optimizer_from(config, context);
  config.erase("amsgrad");
}
void amsgrad_to(Json& config, const ConfigContext& context) {
  plain_optimizer_to(config, context);
  config["amsgrad"] = true;
}

void schedule_from(Json& config, const ConfigContext&) { config.erase("initial_learning_rate"); }
void schedule_to(Json& config, const ConfigContext& context) {
  const auto steps = config.find("decay_steps");
  if (steps == config.end() || !steps->is_null()) return;
  throw invalid_argument(
      context.place, ": learning_rate: expected a schedule with its number of ",
      "steps, as Keras's need it, found one for the whole run; give it decay_steps");
}

// --- Losses and metrics

void from_probabilities(Json& config, const ConfigContext&) {
  set_default(config, "from_logits", false);
}
void sparse_to(Json& config, const ConfigContext& context) {
  leave_out(config, "label_smoothing", 0.0, context);
}
void thresholds_from(Json& config, const ConfigContext& context) {
  Json value = member(config, "thresholds");
  config.erase("thresholds");
  if (value.is_array() && value.size() == 1) value = Json(value.front());
  if (value.is_array()) refuse(context, "thresholds", "one threshold", value);
  config["threshold"] = value.is_null() ? Json(0.5) : value;
}
void thresholds_to(Json& config, const ConfigContext& context) {
  rename(config, "threshold", "thresholds");
  leave_out(config, "average", "micro", context);
}
void counts_to(Json& config, const ConfigContext& context) {
  thresholds_to(config, context);
  leave_out(config, "class_id", nullptr, context);
}
void score_to(Json& config, const ConfigContext& context) {
  leave_out(config, "class_id", nullptr, context);
}
void auc_to(Json& config, const ConfigContext&) {
  config["curve"] = config["curve"] == "pr" ? "PR" : "ROC";
}
void metric_logits_to(Json& config, const ConfigContext& context) {
  if (config["from_logits"].is_null()) {
    throw invalid_argument(context.place,
                           ": from_logits: expected true or false, as Keras needs it, "
                           "found none");
  }
}

struct Exception {
  std::string_view family, name;  // an empty name: all of the family that are not listed
  Adapt from = nullptr, to = nullptr;
};
constexpr auto kExceptions = std::to_array<Exception>({
    {"layer", "einsum_dense", einsum_from, einsum_to},
    {"layer", "batch_norm", require_last_axis},
    {"layer", "layer_norm", require_last_axis},
    {"layer", "group_norm", require_last_axis},
    {"layer", "rms_norm", require_last_axis},
    {"layer", "unit_norm", single_axis_from},
    {"layer", "normalization", normalization_from, normalization_to},
    {"layer", "leaky_relu", leaky_relu_from},
    {"layer", "p_relu", nullptr, shared_axes_to},
    {"layer", "softmax", single_axis_from},
    {"layer", "dot", nullptr, dot_to},
    {"layer", "multi_head_attention", attention_from, attention_to},
    {"layer", "group_query_attention", attention_from, attention_to},
    {"layer", "attention", nullptr, attention_to},
    {"layer", "additive_attention", nullptr, attention_to},
    {"layer", "time_distributed", wrapper_from, wrapper_to},
    {"layer", "bidirectional", bidirectional_from, bidirectional_to},
    {"layer", "lstm", lstm_from, lstm_to},
    {"layer", "spatial_dropout1d", nullptr, untrained_to},
    {"layer", "spatial_dropout2d", nullptr, untrained_to},
    {"layer", "spatial_dropout3d", nullptr, untrained_to},
    {"layer", "discretization", nullptr, untrained_to},
    {"layer", "hashed_crossing", nullptr, untrained_to},
    {"layer", "random_rotation", nullptr, factors_to},
    {"layer", "random_translation", nullptr, factors_to},
    {"layer", "random_zoom", nullptr, factors_to},
    {"layer", "random_shear", nullptr, factors_to},
    {"layer", "random_contrast", value_range_from, factors_to},
    {"layer", "random_brightness", value_range_from, factors_to},
    {"layer", "random_invert", value_range_from},
    {"layer", "random_grayscale", value_range_from},
    {"layer", "random_posterization", value_range_from},
    {"layer", "random_color_degeneration", value_range_from, factors_to},
    {"layer", "random_saturation", value_range_from, factors_to},
    {"layer", "random_sharpness", value_range_from, factors_to},
    {"layer", "auto_contrast", value_range_from},
    {"layer", "solarization", value_range_from},
    {"initializer", "fan_in_uniform", nullptr, fan_in_uniform_to},
    {"constraint", "max_norm", nullptr, norm_axis_to},
    {"constraint", "min_max_norm", nullptr, norm_axis_to},
    {"constraint", "unit_norm", nullptr, norm_axis_to},
    {"optimizer", "adamw", optimizer_from, optimizer_to},
    {"optimizer", "muon", optimizer_from, optimizer_to},
    {"optimizer", "amsgrad", amsgrad_from, amsgrad_to},
    {"optimizer", "", optimizer_from, plain_optimizer_to},
    {"schedule", "", schedule_from, schedule_to},
    {"loss", "sparse_categorical_cross_entropy", from_probabilities, sparse_to},
    {"loss", "binary_cross_entropy", from_probabilities},
    {"loss", "categorical_cross_entropy", from_probabilities},
    {"loss", "binary_focal_cross_entropy", from_probabilities},
    {"loss", "categorical_focal_cross_entropy", from_probabilities},
    {"metric", "sparse_categorical_cross_entropy", from_probabilities, metric_logits_to},
    {"metric", "binary_cross_entropy", from_probabilities, metric_logits_to},
    {"metric", "categorical_cross_entropy", from_probabilities, metric_logits_to},
    {"metric", "precision", thresholds_from, thresholds_to},
    {"metric", "recall", thresholds_from, thresholds_to},
    {"metric", "true_positives", thresholds_from, counts_to},
    {"metric", "false_positives", thresholds_from, counts_to},
    {"metric", "true_negatives", thresholds_from, counts_to},
    {"metric", "false_negatives", thresholds_from, counts_to},
    {"metric", "f1_score", nullptr, score_to},
    {"metric", "f_beta_score", nullptr, score_to},
    {"metric", "auc", nullptr, auc_to},
});

const Exception* find_exception(std::string_view family, std::string_view name) {
  const Exception* found = nullptr;
  for (const Exception& each : kExceptions) {
    if (each.family != family) continue;
    if (each.name == name) return &each;
    if (each.name.empty()) found = &each;
  }
  return found;
}

// Keys that we have no option for, with the values (as JSON; "*": any) with which nothing is lost.
struct Harmless {
  std::string_view family, key, values;
};
constexpr auto kHarmless = std::to_array<Harmless>({
    {"layer", "seed", "*"},
    {"layer", "input_length", "*"},
    {"layer", "batch_input_shape", "*"},
    {"layer", "batch_shape", "*"},
    {"layer", "implementation", "1 2"},
    {"layer", "data_format", "\"channels_last\""},
    {"layer", "axis", "-1 [-1]"},
    {"layer", "unroll", "true false"},
    {"layer", "stateful", "false"},
    {"layer", "return_state", "false"},
    {"layer", "zero_output_for_mask", "false"},
    {"layer", "time_major", "false"},
    {"layer", "synchronized", "false"},
    {"layer", "fused", "true false"},
    {"layer", "renorm", "false"},
    {"layer", "renorm_momentum", "*"},
    {"layer", "virtual_batch_size", "null"},
    {"layer", "rms_scaling", "false"},
    {"layer", "sparse", "false"},
    {"layer", "ragged", "false"},
    {"layer", "invert", "false"},
    {"layer", "use_gate", "false"},
    {"layer", "pad_to_aspect_ratio", "false"},
    {"layer", "pad_to_max_tokens", "false"},
    {"layer", "antialias", "false"},
    {"layer", "fill_mode", "\"constant\""},
    {"layer", "fill_value", "0 0.0"},
    {"layer", "oov_token", "*"},
    {"layer", "oov_method", "\"floormod\""},
    {"layer", "vocabulary_dtype", "\"int64\""},
    {"layer", "encoding", "\"utf-8\""},
    {"layer", "epsilon", "0.01"},  // of a Discretization that is adapted
    {"layer", "query_shape", "*"},
    {"layer", "key_shape", "*"},
    {"layer", "value_shape", "*"},
    {"layer", "softmax_robust_masking", "false"},
    {"initializer", "seed", "*"},
    {"optimizer", "amsgrad", "false"},
    {"optimizer", "jit_compile", "*"},
    {"optimizer", "is_legacy_optimizer", "*"},
    {"optimizer", "relative_step", "true"},
    {"optimizer", "loss_scale_factor", "null"},
    {"loss", "reduction", "\"sum_over_batch_size\" \"auto\" \"mean_with_sample_weight\" \"mean\""},
    {"loss", "axis", "-1 [-1]"},
    {"loss", "fn", "*"},
    {"loss", "label_smoothing", "0 0.0"},
    {"loss", "from_logits", "false"},
    {"metric", "axis", "-1 [-1]"},
    {"metric", "fn", "*"},
    {"metric", "label_smoothing", "0 0.0"},
    {"metric", "num_thresholds", "*"},
    {"metric", "summation_method", "\"interpolation\""},
    {"metric", "multi_label", "false"},
    {"metric", "from_logits", "false"},
    {"metric", "num_classes", "*"},
    {"metric", "sparse_y_true", "*"},
    {"metric", "sparse_y_pred", "*"},
    {"metric", "num_regressors", "0"},
    {"metric", "beta", "1 1.0"},
});

bool is_harmless_dtype(std::string_view family, const Json& value, const ConfigContext& context) {
  if (family != nn::Layer::kFamily) return true;
  const Json& name = value.is_object() ? member(member(value, "config"), "name") : value;
  if (name.is_null() || name == "float32" || name == "int64" || name == "int32") return true;
  if (name != "mixed_bfloat16" && name != "mixed_float16") return false;
  if (context.notes != nullptr) {
    context.notes->push_back(str_cat(
        context.place, ": computes in float32 where Keras computes in ", name.get<std::string>()));
  }
  return true;
}

}  // namespace

void adapt_from_keras(std::string_view family, std::string_view name, Json& config,
                      const ConfigContext& context) {
  const Exception* const found = find_exception(family, name);
  if (found != nullptr && found->from != nullptr) found->from(config, context);
}

void adapt_to_keras(std::string_view family, std::string_view name, Json& config,
                    const ConfigContext& context) {
  const Exception* const found = find_exception(family, name);
  if (found != nullptr && found->to != nullptr) found->to(config, context);
}

bool is_harmless(std::string_view family, const std::string& key, const Json& value,
                 const ConfigContext& context) {
  if (key == "dtype") return is_harmless_dtype(family, value, context);
  // None: Keras's word for what was not asked for.
  if (value.is_null() || (key == "seed" && family == "initializer")) return true;
  const auto* const known = std::ranges::find_if(
      kHarmless, [&](const Harmless& each) { return each.family == family && each.key == key; });
  if (known == kHarmless.end()) return false;
  if (known->values == "*") return true;
  const std::string text = " " + value.dump() + " ";
  return (" " + std::string(known->values) + " ").find(text) != std::string::npos;
}

}  // namespace trireme::formats
