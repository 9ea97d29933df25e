#include "core/formats/keras/layer_variables.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "core/base/error.h"
#include "core/nn/attention_layers.h"
#include "core/nn/preprocessing_layers.h"
#include "core/nn/recurrent_layers.h"

namespace trireme::formats {
namespace {

// In the order in which every layer of Keras that has some of them makes them.
constexpr auto kOrder = std::to_array<std::string_view>(
    {"kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings", "alpha",
     "gamma", "beta", "scale", "concat_score_weight", "bias", "moving_mean", "moving_variance",
     "mean", "variance"});

class Binder {
 public:
  Binder(std::span<const nn::VariableSpec> specs, std::vector<VariableBinding>& bindings)
      : specs_(specs), bindings_(bindings) {}

  void bind(const nn::Layer& layer, const std::string& scope, KerasObject& object) {
    if (const auto* both = dynamic_cast<const nn::Bidirectional*>(&layer)) {
      bind_directions(*both, scope, object);
    } else if (const auto* each = dynamic_cast<const nn::TimeDistributed*>(&layer)) {
      const nn::Layer& inner = *each->options().layer.front();
      bind_part(inner, "layer", name_of(inner), scope + name_of(inner) + "/", object);
    } else if (dynamic_cast<const nn::RecurrentLayer*>(&layer) != nullptr) {
      bind_cell(layer, scope, object);
    } else if (const auto* heads = dynamic_cast<const nn::MultiHeadAttention*>(&layer)) {
      const auto& o = heads->options();
      bind_heads(o.num_heads, o.num_heads, o.key_dim, o.value_dim.value_or(o.key_dim), "", scope,
                 object);
    } else if (const auto* groups = dynamic_cast<const nn::GroupQueryAttention*>(&layer)) {
      const auto& o = groups->options();
      bind_heads(o.num_query_heads, o.num_key_value_heads, o.head_dim, o.head_dim, "_", scope,
                 object);
    } else {
      bind_own(scope, object);
      const bool counts =
          dynamic_cast<const nn::Normalization*>(&layer) != nullptr && !object.variables.empty();
      if (counts) {
        object.variables.push_back({.name = "count", .path = {}, .value = {}, .trainable = false});
        bindings_.push_back({.name = "",
                             .type = {DType::kInt64, {}},
                             .keras_shape = {},
                             .is_trained = false,
                             .fixed = Tensor::scalar<int64_t>(0)});
      }
    }
  }

  size_t count() const { return count_; }

 private:
  static std::string name_of(const nn::Layer& layer) {
    return layer.name().empty() ? layer.type() : layer.name();
  }

  const nn::VariableSpec* find(const std::string& name) const {
    const auto found =
        std::ranges::find_if(specs_, [&](const auto& spec) { return spec.name == name; });
    return found == specs_.end() ? nullptr : &*found;
  }

  void add(const nn::VariableSpec& spec, const Shape& keras_shape, std::string_view name,
           KerasObject& object) {
    const bool trained = spec.role == nn::VariableRole::kTrainable;
    object.variables.push_back(
        {.name = std::string(name), .path = {}, .value = {}, .trainable = trained});
    bindings_.push_back({.name = spec.name,
                         .type = spec.value.type(),
                         .keras_shape = keras_shape,
                         .is_trained = trained});
    ++count_;
  }

  void bind_own(const std::string& scope, KerasObject& object) {
    for (const std::string_view name : kOrder) {
      const nn::VariableSpec* const spec = find(str_cat(scope, name));
      if (spec != nullptr) add(*spec, spec->value.shape(), name, object);
    }
  }

  void bind_part(const nn::Layer& layer, std::string attribute, std::string name,
                 const std::string& scope, KerasObject& object) {
    KerasObject part{.class_name = "Layer",
                     .name = std::move(name),
                     .attribute = std::move(attribute),
                     .in_list = false};
    bind(layer, scope, part);
    object.children.push_back(std::move(part));
  }

  void bind_cell(const nn::Layer& layer, const std::string& scope, KerasObject& object) {
    KerasObject cell{.class_name = "Cell",
                     .name = layer.type() + "_cell",
                     .attribute = "cell",
                     .in_list = false};
    bind_own(scope, cell);
    object.children.push_back(std::move(cell));
  }

  void bind_directions(const nn::Bidirectional& layer, const std::string& scope,
                       KerasObject& object) {
    const nn::Layer& inner = *layer.options().layer.front();
    for (const std::string direction : {"forward", "backward"}) {
      const std::string name = str_cat(direction, "_", name_of(inner));
      bind_part(inner, direction + "_layer", name, str_cat(scope, name, "/"), object);
    }
  }

  void bind_heads(int64_t heads, int64_t kv_heads, int64_t key_dim, int64_t value_dim,
                  const std::string& prefix, const std::string& scope, KerasObject& object) {
    struct Part {
      std::string attribute, name;
      int64_t heads, dim;
    };
    for (const Part& part :
         {Part{"query_dense", "query", heads, key_dim}, Part{"key_dense", "key", kv_heads, key_dim},
          Part{"value_dense", "value", kv_heads, value_dim},
          Part{"output_dense", "attention_output", heads, value_dim}}) {
      KerasObject dense{.class_name = "EinsumDense",
                        .name = part.name,
                        .attribute = prefix + part.attribute,
                        .in_list = false};
      const bool is_output = part.attribute == "output_dense";
      if (const auto* kernel = find(str_cat(scope, part.name, "/kernel"))) {
        const Shape& ours = kernel->value.shape();
        const Shape shape =
            is_output ? Shape{part.heads, part.dim, ours[1]} : Shape{ours[0], part.heads, part.dim};
        add(*kernel, shape, "kernel", dense);
      }
      if (const auto* bias = find(str_cat(scope, part.name, "/bias"))) {
        add(*bias, is_output ? bias->value.shape() : Shape{part.heads, part.dim}, "bias", dense);
      }
      object.children.push_back(std::move(dense));
    }
  }

  std::span<const nn::VariableSpec> specs_;
  std::vector<VariableBinding>& bindings_;
  size_t count_ = 0;
};

}  // namespace

void bind_variables(const nn::Layer& layer, const std::string& scope,
                    std::span<const nn::VariableSpec> specs, KerasObject& object,
                    std::vector<VariableBinding>& bindings) {
  Binder binder(specs, bindings);
  binder.bind(layer, scope, object);
  const auto wanted = std::ranges::count_if(
      specs, [&](const nn::VariableSpec& spec) { return spec.name.starts_with(scope); });
  if (static_cast<size_t>(wanted) == binder.count()) return;
  if (binder.count() == 0) {
    throw invalid_argument("layer \"", object.name, "\" (", layer.type(), ") has ", wanted,
                           " variables, and a Keras file has no place for them: Keras's ",
                           object.class_name, " has none");
  }
  throw invalid_argument("layer \"", object.name, "\": expected ", binder.count(),
                         " variables, as Keras's ", object.class_name, " has, found ", wanted);
}

Tensor from_keras(const VariableBinding& binding, const Tensor& value, const std::string& place) {
  if (value.dtype() != binding.type.dtype || value.shape() != binding.keras_shape) {
    throw invalid_argument(place, ": ", binding.name, ": expected ",
                           TensorType{binding.type.dtype, binding.keras_shape}, ", found ",
                           value.type());
  }
  return value.reshaped(binding.type.shape);
}

Tensor to_keras(const VariableBinding& binding, const Tensor& value) {
  return value.reshaped(binding.keras_shape);
}

}  // namespace trireme::formats
