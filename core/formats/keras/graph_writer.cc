#include "core/formats/keras/graph_writer.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/formats/keras/option_config.h"
#include "core/nn/recurrent_layers.h"

namespace trireme::formats {
namespace {

// Layers that Keras calls on one list of inputs.
bool takes_list(const std::string& type) {
  static const std::set<std::string> kTypes = {
      "add", "subtract",  "multiply",           "average",        "maximum", "minimum", "concat",
      "dot", "attention", "additive_attention", "hashed_crossing"};
  return kTypes.contains(type);
}

// Names of Keras's layers have no "/".
std::string plain_name(std::string name) {
  std::ranges::replace(name, '/', '_');
  return name;
}

}  // namespace

std::string GraphWriter::unique(std::string name) {
  name = plain_name(std::move(name));
  std::string result = name;
  for (int i = 1; !names_.insert(result).second; ++i) result = str_cat(name, "_", i);
  return result;
}

const nn::VariableSpec& GraphWriter::variable(const std::string& name) const {
  const auto found = std::ranges::find_if(specs_, [&](const auto& s) { return s.name == name; });
  TRIREME_CHECK(found != specs_.end(), "no variable '", name, "'");
  return *found;
}

void GraphWriter::add_input(const std::string& name, const TensorType& type) {
  KerasNode node;
  node.name = unique(name);
  TRIREME_CHECK(node.name == name, "inputs come first");
  Json shape = Json::array();
  for (const int64_t size : type.shape.dims()) shape.push_back(size < 0 ? Json() : Json(size));
  Json config = Json::object();
  config["batch_shape"] = std::move(shape);
  config["dtype"] = keras_dtype(type.dtype);
  config["sparse"] = false;
  config["name"] = node.name;
  node.layer = Json::object();
  node.layer["module"] = "keras.layers";
  node.layer["class_name"] = "InputLayer";
  node.layer["config"] = std::move(config);
  node.layer["registered_name"] = nullptr;
  node.type = type;
  node.object = {.class_name = "InputLayer", .name = node.name};
  types_[node.name] = type;
  graph_.inputs.push_back(node.name);
  graph_.nodes.push_back(std::move(node));
}

std::string GraphWriter::add_operation(const std::string& module, const std::string& class_name,
                                       const std::string& name,
                                       std::vector<KerasArgument> arguments, Json config,
                                       const TensorType& type) {
  KerasNode node;
  node.name = unique(name);
  Json with_name = Json::object();
  with_name["name"] = node.name;
  with_name.update(config);
  node.layer = Json::object();
  node.layer["module"] = "keras.src.ops." + module;
  node.layer["class_name"] = class_name;
  node.layer["config"] = std::move(with_name);
  node.layer["registered_name"] = class_name;
  node.call.arguments = std::move(arguments);
  node.type = type;
  types_[node.name] = type;
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().name;
}

KerasCall GraphWriter::call_of(const nn::Layer& layer, const Inputs& inputs,
                               const std::string& place) {
  KerasCall call;
  call.is_list = takes_list(layer.type());
  const bool has_states =
      dynamic_cast<const nn::RecurrentLayer*>(&layer) != nullptr && inputs.size() > 1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (types_.at(inputs[i]).dtype == DType::kBool) {
      throw invalid_argument(place, ": expected inputs of numbers, as a mask that is an input is ",
                             "none in Keras's file, found \"", inputs[i], "\"");
    }
    if (has_states && i > 0) {
      call.keywords["initial_state"].push_back(inputs[i]);
    } else {
      call.arguments.push_back({inputs[i], nullptr});
    }
  }
  static const std::set<std::string> kAttention = {"multi_head_attention", "group_query_attention",
                                                   "attention", "additive_attention"};
  if (kAttention.contains(layer.type())) {
    const ConfigContext context{.catalogs = catalogs_, .place = place};
    const Json options = write_options(layer, nn::Layer::kFamily, context);
    if (member(options, "use_causal_mask") == true) call.keywords["use_causal_mask"] = true;
    // With one input a sequence looks at itself.
    if (inputs.size() == 1) call.arguments.push_back(call.arguments.front());
  }
  return call;
}

std::string GraphWriter::add(const nn::Layer& layer, const std::string& name,
                             const std::string& scope, Inputs inputs, const TensorType& type) {
  if (auto composite = add_composite(*this, layer, name, scope, inputs, type)) return *composite;
  return add_layer(layer, name, scope, std::move(inputs), type);
}

std::string GraphWriter::add_layer(const nn::Layer& layer, const std::string& name,
                                   const std::string& scope, Inputs inputs,
                                   const TensorType& type) {
  KerasNode node;
  node.name = unique(name);
  const std::string place = str_cat(place_, ": layer \"", name, "\"");
  const ConfigContext context{.catalogs = catalogs_, .place = place};
  node.layer = component_json(layer, nn::Layer::kFamily, context, node.name);
  node.call = call_of(layer, inputs, place);
  node.type = type;
  std::string class_name = node.layer["class_name"];
  if (class_name == "GroupQueryAttention") class_name = "GroupedQueryAttention";  // of the groups
  node.object = {.class_name = class_name, .name = node.name};
  bind_variables(layer, scope, specs_, node.object, node.bindings);
  // There is no name for this one, but an operation.
  Json& config = node.layer["config"];
  const bool needs_gelu = member(config, "activation") == "gelu_tanh";
  if (needs_gelu) config["activation"] = "linear";
  types_[node.name] = type;
  const std::string result = node.name;
  graph_.nodes.push_back(std::move(node));
  if (!needs_gelu) return result;
  return add_operation("nn", "Gelu", result + "_gelu", {{result, nullptr}},
                       Json{{"approximate", true}}, type);
}

KerasGraph keras_graph(const ModelFile& file, const nn::Catalogs& catalogs) {
  if (file.layers.empty()) {
    throw invalid_argument(file.place, ": expected a model with its layers, found weights only");
  }
  KerasGraph graph;
  graph.name = plain_name(file.name);
  std::vector<TensorType> types;
  for (const ModelInput& input : file.inputs) types.push_back(input.type);
  NetworkBuilder builder(types);
  GraphWriter writer(graph, catalogs, file.place);

  struct Known {
    std::string node;
    NetworkBuilder::Source source;
  };
  std::map<std::string, Known> known;
  const auto input_name = [&](size_t i) {
    const std::string& name = file.inputs[i].name;
    return plain_name(name.empty() ? str_cat("feature_", i) : name);
  };
  for (size_t i = 0; i < types.size(); ++i) {
    writer.add_input(input_name(i), types[i]);
    known[str_cat("feature_", i)] = {input_name(i), builder.input(i)};
    known[file.inputs[i].name] = {input_name(i), builder.input(i)};
  }
  std::string last = "feature_0";
  for (const auto& layer : file.layers) {
    std::vector<std::string> names = layer->inputs();
    if (names.empty()) names.push_back(last);
    GraphWriter::Inputs nodes;
    std::vector<NetworkBuilder::Source> sources;
    for (const std::string& name : names) {
      const auto found = known.find(name);
      if (found == known.end()) {
        throw invalid_argument(file.place, ": \"", layer->name(), "\" is called on \"", name,
                               "\", which is no layer above it and no input");
      }
      nodes.push_back(found->second.node);
      sources.push_back(found->second.source);
    }
    const auto output = builder.call(*layer, sources);
    writer.set_variables(builder.new_variables());
    const std::string node = writer.add(*layer, layer->name(), layer->name() + "/",
                                        std::move(nodes), builder.type_of(output));
    known[layer->name()] = {node, output};
    last = layer->name();
  }
  graph.output_layers = file.outputs.empty() ? std::vector{last} : file.outputs;
  for (const std::string& name : graph.output_layers) {
    if (!known.contains(name)) {
      throw invalid_argument(file.place, ": there is no layer \"", name, "\" for an output");
    }
    graph.outputs.push_back(known.at(name).node);
  }
  sort_as_keras(graph);
  return graph;
}

}  // namespace trireme::formats
