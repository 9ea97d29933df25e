// Layers that Keras does not have, as several that it has.
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/base/error.h"
#include "core/formats/keras/graph_writer.h"
#include "core/formats/keras/operation_table.h"
#include "core/nn/attention_layers.h"
#include "core/nn/layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/normalization_layers.h"
#include "core/nn/operation_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/transformer_layers.h"

namespace trireme::formats {
namespace {

using Inputs = GraphWriter::Inputs;

// Names and variables of the parts of a layer.
struct Parts {
  GraphWriter& writer;
  std::string name, scope;

  std::string add(const nn::Layer& layer, const std::string& part, Inputs inputs,
                  const TensorType& type) const {
    return writer.add(layer, str_cat(name, "_", part), str_cat(scope, part, "/"), std::move(inputs),
                      type);
  }
  std::string numpy(const std::string& class_name, const std::string& part,
                    std::vector<KerasArgument> arguments, Json config,
                    const TensorType& type) const {
    return writer.add_operation("numpy", class_name, str_cat(name, "_", part), std::move(arguments),
                                std::move(config), type);
  }
};

KerasArgument node(const std::string& name) { return {name, nullptr}; }
KerasArgument constant(Json value) { return {"", std::move(value)}; }

// --- A residual block, and a stage of them

std::string add_residual(const Parts& parts, const nn::Residual& layer, const std::string& x,
                         const TensorType& type) {
  const auto row = [&](const nn::LayerList& layers) {
    std::string y = x;
    // Types within are those of Keras's own making: it does not look at these.
    for (const auto& each : layers) y = parts.add(*each, each->name(), {y}, type);
    return y;
  };
  const std::string made = row(layer.options().layers);
  const std::string shortcut = row(layer.options().shortcut);
  const std::string sum = parts.add(nn::Add(), "sum", {made, shortcut}, type);
  if (layer.options().activation == nn::Activation::kNone) return sum;
  return parts.add(nn::ActivationLayer({.activation = layer.options().activation}), "activation",
                   {sum}, type);
}

// --- Transformers

std::string add_block(const Parts& parts, const nn::TransformerBlock& layer, std::string x,
                      const TensorType& type) {
  const auto& o = layer.options();
  const int64_t width = type.shape[2];
  const auto normalize = [&](const char* part, const std::string& value) {
    return parts.add(nn::LayerNorm({.epsilon = o.epsilon}), part, {value}, type);
  };
  const auto add_to = [&](const std::string& sum, const std::string& part, std::string value) {
    if (o.dropout > 0) {
      value = parts.add(nn::Dropout({.rate = o.dropout}), part + "_dropout", {value}, type);
    }
    return parts.add(nn::Add(), part + "_sum", {sum, value}, type);
  };
  const auto attend = [&](const std::string& value) {
    const nn::MultiHeadAttention attention({.num_heads = o.num_heads,
                                            .key_dim = width / o.num_heads,
                                            .dropout = o.dropout,
                                            .use_causal_mask = o.use_causal_mask,
                                            .kernel_initializer = o.kernel_initializer});
    return parts.add(attention, "attention", {value}, type);
  };
  const auto feed = [&](const std::string& value) {
    TensorType wide = type;
    wide.shape.set(2, o.intermediate_dim);
    const nn::Dense intermediate({.units = o.intermediate_dim,
                                  .activation = o.activation,
                                  .kernel_initializer = o.kernel_initializer});
    const nn::Dense output({.units = width, .kernel_initializer = o.kernel_initializer});
    return parts.add(output, "output", {parts.add(intermediate, "intermediate", {value}, wide)},
                     type);
  };
  if (o.normalize_first) {
    x = add_to(x, "attention", attend(normalize("attention_norm", x)));
    return add_to(x, "feedforward", feed(normalize("feedforward_norm", x)));
  }
  x = normalize("attention_norm", add_to(x, "attention", attend(x)));
  return normalize("feedforward_norm", add_to(x, "feedforward", feed(x)));
}

// 0, 1, 2, … along the steps of indices [batch, time].
std::string add_positions(const Parts& parts, const std::string& indices, const TensorType& type) {
  const std::string ones = parts.numpy("OnesLike", "ones", {node(indices)}, Json::object(), type);
  const std::string counted =
      parts.numpy("Cumsum", "counted", {node(ones)}, Json{{"axis", 1}}, type);
  return parts.numpy("Subtract", "positions", {node(counted), constant(1)}, Json::object(), type);
}

std::string add_tokens_and_positions(const Parts& parts, const nn::TokenAndPositionEmbedding& layer,
                                     const std::string& x, const TensorType& type) {
  const auto& o = layer.options();
  const TensorType indices = parts.writer.type_of(x);
  const nn::Embedding tokens({.rows = o.vocabulary,
                              .dimension = o.dimension,
                              .mask_zero = o.mask_zero,
                              .initializer = o.initializer});
  const nn::Embedding positions(
      {.rows = o.sequence_length, .dimension = o.dimension, .initializer = o.initializer});
  const std::string of_tokens = parts.add(tokens, "token_embedding", {x}, type);
  const std::string of_positions =
      parts.add(positions, "position_embedding", {add_positions(parts, x, indices)}, type);
  return parts.add(nn::Add(), "sum", {of_tokens, of_positions}, type);
}

std::string add_position_embedding(const Parts& parts, const nn::PositionEmbedding& layer,
                                   const std::string& x, const TensorType& type) {
  const auto& o = layer.options();
  TensorType indices{type.dtype, type.shape.first(2)};
  const std::string ones = parts.numpy("OnesLike", "each", {node(x)}, Json::object(), type);
  const std::string step =
      parts.numpy("Max", "step", {node(ones)}, Json{{"axis", -1}, {"keepdims", false}}, indices);
  const nn::Embedding table(
      {.rows = o.sequence_length, .dimension = type.shape[2], .initializer = o.initializer});
  // The table is the layer's own variable.
  return parts.writer.add(table, parts.name, parts.scope, {add_positions(parts, step, indices)},
                          type);
}

// --- Sums of rows

std::string add_bag(const Parts& parts, const nn::EmbeddingBag& layer, const std::string& x,
                    const TensorType& type) {
  nn::EmbeddingOptions options = layer.options();
  const bool skips_zero = options.mask_zero;
  options.mask_zero = false;
  const TensorType indices = parts.writer.type_of(x);
  TensorType rows{type.dtype, indices.shape};
  rows.shape.push_back(type.shape[1]);
  std::string y = parts.writer.add(nn::Embedding(options), parts.name, parts.scope, {x}, rows);
  if (skips_zero) {
    const TensorType there{DType::kBool, indices.shape};
    TensorType one_each{DType::kFloat32, indices.shape};
    const std::string mask =
        parts.numpy("NotEqual", "there", {node(x), constant(0)}, Json::object(), there);
    const std::string weight =
        parts.writer.add_operation("core", "Cast", parts.name + "_weights", {node(mask)},
                                   Json{{"dtype", "float32"}}, one_each);
    one_each.shape.push_back(1);
    const std::string weights =
        parts.numpy("ExpandDims", "weight_of_rows", {node(weight)}, Json{{"axis", 2}}, one_each);
    y = parts.numpy("Multiply", "weighted", {node(y), node(weights)}, Json::object(), rows);
  }
  return parts.numpy("Sum", "sum", {node(y)}, Json{{"axis", 1}, {"keepdims", false}}, type);
}

// --- Single operations

std::string_view keras_name(nn::Operation op) {
  for (const auto& rows : {std::span<const OperationRow>(kBinaryOperations),
                           std::span<const OperationRow>(kOperationsAlongAxes),
                           std::span<const OperationRow>(kUnaryOperations)}) {
    for (const OperationRow& row : rows) {
      if (row.op == op) return row.keras;
    }
  }
  return "Cast";
}

std::string add_operation(const Parts& parts, const nn::OperationLayer& layer, const Inputs& inputs,
                          const TensorType& type) {
  using Op = nn::Operation;
  const auto& o = layer.options();
  const TensorType x = parts.writer.type_of(inputs.front());
  std::vector<KerasArgument> arguments;
  for (const std::string& input : inputs) arguments.push_back(node(input));
  if (o.value) {
    const bool is_whole = is_integer(x.dtype);
    KerasArgument value =
        constant(is_whole ? Json(static_cast<int64_t>(*o.value)) : Json(*o.value));
    arguments.insert(o.value_first ? arguments.begin() : arguments.end(), std::move(value));
  }
  Json config = Json::object();
  const bool is_reduction = o.function <= Op::kProduct;
  if (is_reduction || o.function == Op::kCumsum || o.function >= Op::kExpandDims) {
    std::vector<int64_t> axes = o.axes;
    for (int64_t axis = 1; o.axes.empty() && axis < x.shape.rank(); ++axis) axes.push_back(axis);
    config["axis"] = axes.size() == 1 ? Json(axes.front()) : Json(axes);
  }
  if (is_reduction) config["keepdims"] = o.keep_dims;
  const bool casts = o.function == Op::kFloat || o.function == Op::kInt;
  if (casts) config["dtype"] = keras_dtype(type.dtype);
  return parts.writer.add_operation(casts ? "core" : "numpy", std::string(keras_name(o.function)),
                                    parts.name, std::move(arguments), std::move(config), type);
}

}  // namespace

std::optional<std::string> add_composite(GraphWriter& writer, const nn::Layer& layer,
                                         const std::string& name, const std::string& scope,
                                         const Inputs& inputs, const TensorType& type) {
  const Parts parts{writer, name, scope};
  const std::string& x = inputs.front();
  if (const auto* each = dynamic_cast<const nn::Residual*>(&layer)) {
    return add_residual(parts, *each, x, type);
  }
  if (const auto* each = dynamic_cast<const nn::Bottleneck*>(&layer)) {
    std::string y = x;
    for (const auto& block : nn::bottleneck_blocks(each->options())) {
      y = parts.add(*block, block->name(), {y}, type);
    }
    return y;
  }
  if (const auto* each = dynamic_cast<const nn::TransformerBlock*>(&layer)) {
    return add_block(parts, *each, x, type);
  }
  if (const auto* each = dynamic_cast<const nn::TokenAndPositionEmbedding*>(&layer)) {
    return add_tokens_and_positions(parts, *each, x, type);
  }
  if (const auto* each = dynamic_cast<const nn::PositionEmbedding*>(&layer)) {
    return add_position_embedding(parts, *each, x, type);
  }
  if (const auto* each = dynamic_cast<const nn::OperationLayer*>(&layer)) {
    return add_operation(parts, *each, inputs, type);
  }
  if (const auto* each = dynamic_cast<const nn::EmbeddingBag*>(&layer)) {
    return add_bag(parts, *each, x, type);
  }
  return std::nullopt;
}

}  // namespace trireme::formats
