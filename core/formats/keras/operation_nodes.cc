// Operations of Keras as layers.
#include <algorithm>
#include <array>
#include <span>

#include "core/base/error.h"
#include "core/formats/keras/graph_reader.h"
#include "core/formats/keras/operation_table.h"
#include "core/nn/layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/operation_layers.h"
#include "core/nn/reshaping_layers.h"

namespace trireme::formats {
namespace {

using Op = nn::Operation;

const OperationRow* find(std::span<const OperationRow> rows, std::string_view name) {
  const auto found = std::ranges::find(rows, name, &OperationRow::keras);
  return found == rows.end() ? nullptr : &*found;
}

class Maker {
 public:
  Maker(const ParsedNode& node, const TensorType& type, const ConfigContext& context)
      : node_(node), type_(type), context_(context) {}

  std::shared_ptr<nn::Layer> make() {
    const std::string& name = node_.class_name;
    if (const OperationRow* row = find(kBinaryOperations, name)) return binary(row->op);
    if (const OperationRow* row = find(kOperationsAlongAxes, name)) return along_axes(row->op);
    if (const OperationRow* row = find(kUnaryOperations, name))
      return operation({.function = row->op});
    if (name == "Negative") return operation({.function = Op::kMultiply, .value = -1.0});
    if (name == "Cast") return cast();
    if (name == "Reshape") return reshape();
    if (name == "Transpose") return transpose();
    if (name == "Concatenate") return concat();
    if (name == "Identity") return std::make_shared<nn::Identity>();
    return activation();
  }

 private:
  static std::shared_ptr<nn::Layer> operation(nn::OperationOptions options) {
    return std::make_shared<nn::OperationLayer>(std::move(options));
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view expected,
                           const Json& found) const {
    throw invalid_argument(context_.place, ": ", key, ": expected ", expected, ", found ",
                           brief(found));
  }

  // The options that were looked at; the others must be absent, null or false.
  void require_only(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, value] : node_.config.items()) {
      const bool is_known = key == "name" || std::ranges::find(keys, key) != keys.end();
      if (is_known || value.is_null() || value == false) continue;
      refuse(key, str_cat("its default, as ", node_.class_name, " has no such option here"), value);
    }
  }
  void require_one_input() const {
    const auto& arguments = node_.call.arguments;
    for (size_t i = 1; i < arguments.size(); ++i) {
      if (!arguments[i].node.empty() || !arguments[i].constant.is_null()) {
        refuse("arguments", "one input", arguments[i].constant);
      }
    }
  }

  std::shared_ptr<nn::Layer> binary(Op op) const {
    require_only({});
    nn::OperationOptions options{.function = op};
    const auto& arguments = node_.call.arguments;
    if (arguments.size() != 2) refuse("arguments", "two", arguments.size());
    for (size_t i = 0; i < 2; ++i) {
      if (!arguments[i].node.empty()) continue;
      Json value = arguments[i].constant;
      if (member(value, "class_name") == "__numpy__")
        value = Json(member(value["config"], "value"));
      if (!value.is_number()) refuse("arguments", "a number or what a layer gives", value);
      options.value = value.get<double>();
      options.value_first = i == 0;
      if (op == Op::kMatmul) refuse("arguments", "what layers give", value);
    }
    return operation(std::move(options));
  }

  std::vector<int64_t> integers(std::string_view key) const {
    const Json& json = member(node_.config, key);
    std::vector<int64_t> result;
    for (const Json& each : json.is_array() ? json : Json::array({json})) {
      if (!each.is_number_integer()) refuse(key, "whole numbers", json);
      result.push_back(each.get<int64_t>());
    }
    return result;
  }

  std::shared_ptr<nn::Layer> along_axes(Op op) const {
    require_one_input();
    require_only({"axis", "keepdims"});
    const Json& axis = member(node_.config, "axis");
    if (axis.is_null()) refuse("axis", "axes, as the batch stays", axis);
    const Json& keep = member(node_.config, "keepdims");
    return operation({.function = op, .axes = integers("axis"), .keep_dims = keep == true});
  }

  std::shared_ptr<nn::Layer> cast() const {
    require_one_input();
    const Json& dtype = member(node_.config, "dtype");
    const auto type = dtype_from_keras(dtype.is_string() ? dtype.get<std::string>() : "");
    if (type == DType::kFloat32) return operation({.function = Op::kFloat});
    if (type == DType::kInt32) return operation({.function = Op::kInt});
    refuse("dtype", "float32 or int32", dtype);
  }

  std::shared_ptr<nn::Layer> reshape() const {
    require_one_input();
    std::vector<int64_t> shape = integers("newshape");
    if (shape.empty() || shape.front() != -1) {
      refuse("newshape", "-1 for the batch, then the shape of an example", Json(shape));
    }
    shape.erase(shape.begin());
    return std::make_shared<nn::Reshape>(nn::ReshapeOptions{.shape = std::move(shape)});
  }

  std::shared_ptr<nn::Layer> transpose() const {
    require_one_input();
    std::vector<int64_t> axes = integers("axes");
    if (axes.empty() || axes.front() != 0) {
      refuse("axes", "0, the batch, and then the others", Json(axes));
    }
    axes.erase(axes.begin());
    return std::make_shared<nn::Permute>(nn::PermuteOptions{.dims = std::move(axes)});
  }

  std::shared_ptr<nn::Layer> concat() const {
    require_only({"axis"});
    return std::make_shared<nn::Concat>(nn::ConcatOptions{.axis = integers("axis").front()});
  }

  // Functions of one input, by the names of activations: LogSoftmax, Relu6.
  std::shared_ptr<nn::Layer> activation() const {
    struct Default {
      std::string_view name, key;
      double value;
    };
    static constexpr auto kDefaults = std::to_array<Default>({{"Softmax", "axis", -1},
                                                              {"LogSoftmax", "axis", -1},
                                                              {"Elu", "alpha", 1},
                                                              {"Celu", "alpha", 1},
                                                              {"LeakyRelu", "negative_slope", 0.2},
                                                              {"HardShrink", "threshold", 0.5},
                                                              {"SoftShrink", "threshold", 0.5},
                                                              {"Squareplus", "b", 4},
                                                              {"Glu", "axis", -1}});
    require_one_input();
    for (const auto& [key, value] : node_.config.items()) {
      if (key == "name" || value.is_null() || (node_.class_name == "Gelu" && key == "approximate"))
        continue;
      const bool is_default = std::ranges::any_of(kDefaults, [&](const Default& each) {
        return each.name == node_.class_name && each.key == key && value == each.value;
      });
      if (!is_default) refuse(key, "its default", value);
    }
    std::string name;  // "LogSoftmax" → "log_softmax"
    for (const char c : node_.class_name) {
      const bool is_capital = c >= 'A' && c <= 'Z';
      if (is_capital && !name.empty()) name += '_';
      name += is_capital ? static_cast<char>(c - 'A' + 'a') : c;
    }
    const bool tanh = node_.class_name == "Gelu" && member(node_.config, "approximate") != false;
    Json config = Json::object();
    config["activation"] = tanh ? "gelu_tanh" : name;
    try {
      auto layer = read_component("Activation", config, nn::Layer::kFamily, context_);
      return std::shared_ptr<nn::Layer>(dynamic_cast<nn::Layer*>(layer.release()));
    } catch (const Error&) {
      throw invalid_argument(context_.place, ": there is no layer for Keras's operation ",
                             node_.class_name);
    }
  }

  const ParsedNode& node_;
  const TensorType& type_;
  const ConfigContext& context_;
};

}  // namespace

std::shared_ptr<nn::Layer> operation_layer(const ParsedNode& node, const TensorType& type,
                                           const ConfigContext& context) {
  return Maker(node, type, context).make();
}

}  // namespace trireme::formats
