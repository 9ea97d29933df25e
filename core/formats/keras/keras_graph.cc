#include "core/formats/keras/keras_graph.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

constexpr std::array<std::pair<std::string_view, DType>, 8> kDtypes = {{
    {"float32", DType::kFloat32},
    {"float64", DType::kFloat64},
    {"float16", DType::kFloat16},
    {"bfloat16", DType::kBFloat16},
    {"int32", DType::kInt32},
    {"int64", DType::kInt64},
    {"uint8", DType::kUInt8},
    {"bool", DType::kBool},
}};

Json shape_json(const Shape& shape) {
  Json json = Json::array();
  for (const int64_t size : shape.dims()) json.push_back(size < 0 ? Json() : Json(size));
  return json;
}

Json tensor_json(const KerasNode& node) {
  Json config = Json::object();
  config["shape"] = shape_json(node.type.shape);
  config["dtype"] = keras_dtype(node.type.dtype);
  config["keras_history"] = Json::array({node.name, 0, 0});
  Json json = Json::object();
  json["class_name"] = "__keras_tensor__";
  json["config"] = std::move(config);
  return json;
}

using NodesByName = std::map<std::string, const KerasNode*>;

Json inbound_nodes(const KerasNode& node, const NodesByName& by_name) {
  if (node.is_input()) return Json::array();
  Json arguments = Json::array();
  for (const KerasArgument& argument : node.call.arguments) {
    arguments.push_back(argument.node.empty() ? argument.constant
                                              : tensor_json(*by_name.at(argument.node)));
  }
  if (node.call.is_list) arguments = Json::array({std::move(arguments)});
  Json keywords = Json::object();
  for (const auto& [key, value] : node.call.keywords.items()) {
    if (key != "initial_state") {
      keywords[key] = value;
      continue;
    }
    Json states = Json::array();  // names of nodes
    for (const Json& name : value)
      states.push_back(tensor_json(*by_name.at(name.get<std::string>())));
    keywords[key] = std::move(states);
  }
  Json call = Json::object();
  call["args"] = std::move(arguments);
  call["kwargs"] = std::move(keywords);
  return Json::array({std::move(call)});
}

Json model_json(const std::string& module, const std::string& class_name, Json config) {
  Json json = Json::object();
  json["module"] = module;
  json["class_name"] = class_name;
  json["config"] = std::move(config);
  json["registered_name"] = class_name == "Functional" ? Json(class_name) : Json();
  return json;
}

std::vector<std::string> sources_of(const KerasNode& node) {
  std::vector<std::string> names;
  for (const KerasArgument& argument : node.call.arguments) {
    if (!argument.node.empty()) names.push_back(argument.node);
  }
  if (const Json& states = member(node.call.keywords, "initial_state"); states.is_array()) {
    for (const Json& name : states) names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace

std::string keras_dtype(DType dtype) {
  for (const auto& [name, each] : kDtypes) {
    if (each == dtype) return std::string(name);
  }
  throw invalid_argument("Keras has no inputs of ", name(dtype));
}

std::optional<DType> dtype_from_keras(std::string_view name) {
  for (const auto& [each, dtype] : kDtypes) {
    if (each == name) return dtype;
  }
  return std::nullopt;
}

bool is_sequential(const KerasGraph& graph) {
  if (graph.inputs.size() != 1 || graph.outputs.size() != 1) return false;
  if (graph.outputs.front() != graph.nodes.back().name) return false;
  for (size_t i = 1; i < graph.nodes.size(); ++i) {
    const KerasNode& node = graph.nodes[i];
    const bool is_next = node.call.arguments.size() == 1 && node.call.keywords.empty() &&
                         !node.call.is_list &&
                         node.call.arguments[0].node == graph.nodes[i - 1].name;
    if (!is_next || !node.is_layer()) return false;
  }
  return graph.nodes.front().is_input() && graph.nodes.size() > 1;
}

Json model_config(const KerasGraph& graph) {
  Json config = Json::object();
  config["name"] = graph.name;
  config["trainable"] = true;
  Json layers = Json::array();
  if (is_sequential(graph)) {
    for (const KerasNode& node : graph.nodes) layers.push_back(node.layer);
    config["layers"] = std::move(layers);
    config["build_input_shape"] = shape_json(graph.nodes.front().type.shape);
    return model_json("keras", "Sequential", std::move(config));
  }
  NodesByName by_name;
  for (const KerasNode& node : graph.nodes) by_name[node.name] = &node;
  for (const KerasNode& node : graph.nodes) {
    Json layer = node.layer;
    layer["name"] = node.name;
    layer["inbound_nodes"] = inbound_nodes(node, by_name);
    layers.push_back(std::move(layer));
  }
  const auto references = [](const std::vector<std::string>& names) {
    Json list = Json::array();
    for (const std::string& name : names) list.push_back(Json::array({name, 0, 0}));
    return list;
  };
  config["layers"] = std::move(layers);
  config["input_layers"] = references(graph.inputs);
  config["output_layers"] = references(graph.outputs);
  return model_json("keras.src.models.functional", "Functional", std::move(config));
}

KerasObject model_object(const KerasGraph& graph, std::vector<VariableBinding>& bindings) {
  KerasObject model{.class_name = is_sequential(graph) ? "Sequential" : "Functional",
                    .name = graph.name,
                    .attribute = "",
                    .in_list = false};
  for (const KerasNode& node : graph.nodes) {
    if (!node.is_layer() || (node.is_input() && is_sequential(graph))) continue;
    model.children.push_back(node.object);
    bindings.insert(bindings.end(), node.bindings.begin(), node.bindings.end());
  }
  return model;
}

void sort_as_keras(KerasGraph& graph) {
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < graph.nodes.size(); ++i) index[graph.nodes[i].name] = i;
  const size_t count = graph.nodes.size();
  // Found in depth first order from the outputs, and finished when all that it needs is; without
  // recursion, as networks may be deep.
  std::vector<size_t> found(count, count), finished;
  size_t next_found = 0;
  struct Visit {
    size_t node;
    std::vector<std::string> sources;
    size_t next = 0;
  };
  for (const std::string& output : graph.outputs) {
    if (found[index.at(output)] != count) continue;
    std::vector<Visit> stack;
    const auto enter = [&](size_t node) {
      found[node] = next_found++;
      stack.push_back({node, sources_of(graph.nodes[node])});
    };
    enter(index.at(output));
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (top.next == top.sources.size()) {
        finished.push_back(top.node);
        stack.pop_back();
        continue;
      }
      const size_t source = index.at(top.sources[top.next++]);
      if (found[source] == count) enter(source);
    }
  }
  std::vector<size_t> depth(count, 0);
  for (auto node = finished.rbegin(); node != finished.rend(); ++node) {
    for (const std::string& name : sources_of(graph.nodes[*node])) {
      size_t& of_source = depth[index.at(name)];
      of_source = std::max(of_source, depth[*node] + 1);
    }
  }
  // Inputs that no output needs stand first among those of depth 0.
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  const auto rank = [&](size_t i) { return found[i] == count ? 0 : found[i] + 1; };
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    return depth[a] != depth[b] ? depth[a] > depth[b] : rank(a) < rank(b);
  });
  std::vector<KerasNode> sorted;
  for (const size_t i : order) sorted.push_back(std::move(graph.nodes[i]));
  graph.nodes = std::move(sorted);
}

}  // namespace trireme::formats
