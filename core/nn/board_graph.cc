#include "core/nn/board_graph.h"

#include <nlohmann/json.hpp>

#include "core/nn/layers.h"

namespace trireme::nn {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLongestAttribute = 200;  // of text; longer ones, such as constants, are cut

std::string input_name(const Value& value) {
  const std::string& name = value.node->name();
  return value.index == 0 ? name : name + ":" + std::to_string(value.index);
}

// The class that people know, such as "Conv2D"; the layer's own name where Keras has none.
std::string class_of(const Layer& layer) {
  static const auto catalog = [] {
    Catalog<Layer> layers;
    register_core_layers(layers);
    return layers;
  }();
  const auto* const entry = catalog.find_or_null(layer.type());
  return entry == nullptr || entry->keras.empty() ? layer.type() : entry->keras;
}

// A call of a layer that is called several times has a node of its own.
std::string call_name(const Network& network, const LayerCall& call) {
  const std::string& name = network.layers()[call.layer]->name();
  return call.repeat == 0 ? name : name + "_call_" + std::to_string(call.repeat);
}
std::string source_name(const Network& network, const ValueSource& source) {
  if (source.is_feature) return "feature_" + std::to_string(source.index);
  return call_name(network, network.calls()[source.index]);
}

Json history(const std::string& name) {
  return {{"class_name", "__keras_tensor__"}, {"config", {{"keras_history", {name, 0, 0}}}}};
}

Json layer_json(const std::string& class_name, const std::string& name,
                const std::vector<std::string>& inputs) {
  Json layer = {{"class_name", class_name},
                {"name", name},
                {"config", {{"name", name}, {"dtype", "float32"}}},
                {"inbound_nodes", Json::array()}};
  Json arguments = Json::array();
  for (const std::string& input : inputs) arguments.push_back(history(input));
  if (!inputs.empty()) {
    // Several are one list of them.
    Json args = Json::array({inputs.size() > 1 ? arguments : arguments[0]});
    layer["inbound_nodes"].push_back({{"args", args}, {"kwargs", Json::object()}});
  }
  return layer;
}

}  // namespace

std::vector<io::GraphNode> board_nodes(const Graph& graph, std::span<Node* const> roots,
                                       const std::string& default_device) {
  std::vector<bool> needed(static_cast<size_t>(graph.size()), false);
  for (const Node* const root : roots) needed[static_cast<size_t>(root->id())] = true;
  // Nodes stand in topological order.
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    if (!needed[static_cast<size_t>((*node)->id())]) continue;
    for (const Value& input : (*node)->inputs()) {
      needed[static_cast<size_t>(input.node->id())] = true;
    }
    for (const Node* const before : (*node)->control_inputs()) {
      needed[static_cast<size_t>(before->id())] = true;
    }
  }
  std::vector<io::GraphNode> nodes;
  for (const auto& node : graph.nodes()) {
    if (!needed[static_cast<size_t>(node->id())]) continue;
    io::GraphNode shown{.name = node->name(),
                        .op = node->op().name,
                        .device = node->device().empty() ? default_device : node->device()};
    for (const Value& input : node->inputs()) shown.inputs.push_back(input_name(input));
    for (const Node* const before : node->control_inputs()) {
      shown.inputs.push_back("^" + before->name());
    }
    for (const auto& [name, value] : node->attributes()) {
      shown.attributes.emplace_back(name, to_string(value).substr(0, kLongestAttribute));
    }
    for (int i = 0; i < node->output_count(); ++i) {
      const Shape& shape = node->output_type(i).shape;
      std::vector<int64_t> sizes;
      for (int axis = 0; axis < shape.rank(); ++axis) sizes.push_back(shape[axis]);
      shown.output_shapes.push_back(std::move(sizes));
    }
    nodes.push_back(std::move(shown));
  }
  return nodes;
}

std::string layer_graph_json(const Model& model) {
  const Network& network = model.network();
  Json layers = Json::array(), inputs = Json::array(), outputs = Json::array();
  std::vector<bool> is_used;
  for (const LayerCall& call : network.calls()) {
    for (const ValueSource& source : call.inputs) {
      if (!source.is_feature) continue;
      if (is_used.size() <= source.index) is_used.resize(source.index + 1);
      is_used[source.index] = true;
    }
  }
  for (size_t i = 0; i < is_used.size(); ++i) {
    if (!is_used[i]) continue;
    const std::string name = "feature_" + std::to_string(i);
    layers.push_back(layer_json("InputLayer", name, {}));
    inputs.push_back({name, 0, 0});
  }
  for (const LayerCall& call : network.calls()) {
    std::vector<std::string> sources;
    for (const ValueSource& source : call.inputs) sources.push_back(source_name(network, source));
    layers.push_back(
        layer_json(class_of(*network.layers()[call.layer]), call_name(network, call), sources));
  }
  for (const ValueSource& source : network.outputs()) {
    outputs.push_back({source_name(network, source), 0, 0});
  }
  return Json{{"class_name", "Functional"},
              {"config",
               {{"name", model.options().name},
                {"layers", std::move(layers)},
                {"input_layers", std::move(inputs)},
                {"output_layers", std::move(outputs)}}},
              {"keras_version", "3.0.0"},
              {"backend", "trireme"}}
      .dump();
}

}  // namespace trireme::nn
