#include "core/formats/keras/graph_reader.h"

#include <algorithm>
#include <array>
#include <queue>
#include <set>

#include "core/base/error.h"
#include "core/formats/keras/network_builder.h"
#include "core/nn/operation_layers.h"

namespace trireme::formats {
namespace {

bool attends(const std::string& class_name) {
  static const std::set<std::string> kNames = {"MultiHeadAttention", "GroupQueryAttention",
                                               "GroupedQueryAttention", "Attention",
                                               "AdditiveAttention"};
  return kNames.contains(class_name);
}

// Layers make nodes or constants for each of these, before any weight is there to compare with.
struct Limit {
  std::string_view key;
  int64_t most;
};
constexpr auto kLimits = std::to_array<Limit>({{"kernel_size", 1 << 14},
                                               {"pool_size", 1 << 14},
                                               {"output_size", 1 << 14},
                                               {"num_tokens", 1 << 24}});
constexpr int64_t kMostSteps = 1 << 24;

void require_at_most(const Limit& limit, const Json& value, const std::string& place) {
  if (value.is_number() && value > limit.most) {
    throw invalid_argument(place, ": ", limit.key, ": expected at most ", limit.most, ", found ",
                           brief(value));
  }
  if (!value.is_array()) return;
  for (const Json& each : value) require_at_most(limit, each, place);
}

// In the layers of a wrapper, too.
void require_sizes(const Json& config, const std::string& place) {
  if (!config.is_structured()) return;
  for (const auto& [key, value] : config.items()) {
    const auto* const limit = std::ranges::find(kLimits, key, &Limit::key);
    if (limit != kLimits.end()) require_at_most(*limit, value, place);
    require_sizes(value, place);
  }
}

// Keys of the nodes that a node is called on, without masks.
std::vector<std::string> sources_of(const ParsedNode& node) {
  std::vector<std::string> keys;
  for (const KerasArgument& argument : node.call.arguments) {
    if (!argument.node.empty()) keys.push_back(argument.node);
  }
  for (const auto& [keyword, references] : node.references) {
    if (keyword != "mask") keys.insert(keys.end(), references.begin(), references.end());
  }
  return keys;
}

class Reader {
 public:
  Reader(ParsedNetwork network, std::string place, bool is_keras2, const nn::Catalogs& catalogs)
      : network_(std::move(network)),
        place_(std::move(place)),
        is_keras2_(is_keras2),
        catalogs_(catalogs) {
    for (size_t i = 0; i < network_.nodes.size(); ++i) index_[network_.nodes[i].key] = i;
    objects_.resize(network_.nodes.size());
    bindings_.resize(network_.nodes.size());
  }

  ReadNetwork read() {
    ReadNetwork result;
    ModelFile& file = result.file;
    file.place = place_;
    file.name = network_.models.front().name;
    find_masks();
    take_keys_as_integers();
    std::vector<TensorType> types;
    for (size_t i = 0; i < network_.inputs.size(); ++i) {
      file.inputs.push_back(network_.inputs[i]);
      types.push_back(network_.inputs[i].type);
    }
    NetworkBuilder builder(types);
    for (size_t i = 0; i < network_.inputs.size(); ++i) {
      known_[network_.inputs[i].name] = {str_cat("feature_", i), builder.input(i)};
    }
    for (const size_t i : in_order()) add(network_.nodes[i], i, builder, file);
    if (file.layers.empty()) {
      throw invalid_argument(place_, ": expected a model with layers, found inputs only");
    }
    add_outputs(result);
    result.model = object_of(0, result.bindings);
    return result;
  }

 private:
  struct Known {
    std::string name;  // of our layer or input
    NetworkBuilder::Source source;
  };

  std::string place_of(const ParsedNode& node) const {
    return str_cat(place_, ": layer \"", node.key, "\"");
  }

  // Operations that only compute masks: Keras writes them into the graph, and here the layers do
  // that themselves.
  void find_masks() {
    std::map<std::string, std::vector<size_t>> users;
    std::set<std::string> as_masks;
    for (size_t i = 0; i < network_.nodes.size(); ++i) {
      const ParsedNode& node = network_.nodes[i];
      for (const std::string& key : sources_of(node)) users[key].push_back(i);
      if (const auto masks = node.references.find("mask"); masks != node.references.end()) {
        as_masks.insert(masks->second.begin(), masks->second.end());
      }
    }
    for (const std::string& key : network_.models.front().outputs) users[key].push_back(SIZE_MAX);
    std::vector<std::string> left(as_masks.begin(), as_masks.end());
    while (!left.empty()) {
      const std::string key = left.back();
      left.pop_back();
      const auto node = index_.find(key);
      if (node == index_.end() || masks_.contains(node->second)) continue;
      const auto& uses = users[key];
      const bool only_masks = std::ranges::all_of(
          uses, [&](size_t user) { return user != SIZE_MAX && masks_.contains(user); });
      if (!only_masks || network_.nodes[node->second].is_layer()) continue;
      masks_.insert(node->second);
      for (const std::string& source : sources_of(network_.nodes[node->second])) {
        left.push_back(source);
      }
    }
  }

  // Keras's embeddings take numbers of any type, ours whole ones.
  void take_keys_as_integers() {
    for (ModelInput& input : network_.inputs) {
      if (!is_floating(input.type.dtype)) continue;
      bool some = false, all = true;
      for (size_t i = 0; i < network_.nodes.size(); ++i) {
        const ParsedNode& node = network_.nodes[i];
        const auto sources = sources_of(node);
        if (masks_.contains(i) || std::ranges::find(sources, input.name) == sources.end()) continue;
        (node.class_name == "Embedding" ? some : all) = node.class_name == "Embedding";
      }
      if (some && all) input.type.dtype = DType::kInt64;
      if (input.type.dtype == DType::kFloat16 || input.type.dtype == DType::kBFloat16) {
        input.type.dtype = DType::kFloat32;
      }
    }
  }

  // Inputs before their use, else as the file has them.
  std::vector<size_t> in_order() const {
    std::vector<size_t> waits(network_.nodes.size(), 0);
    std::vector<std::vector<size_t>> users(network_.nodes.size());
    for (size_t i = 0; i < network_.nodes.size(); ++i) {
      for (const std::string& key : sources_of(network_.nodes[i])) {
        const auto source = index_.find(key);
        if (source == index_.end()) continue;
        users[source->second].push_back(i);
        ++waits[i];
      }
    }
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t i = 0; i < waits.size(); ++i) {
      if (waits[i] == 0) ready.push(i);
    }
    std::vector<size_t> order;
    size_t done = 0;
    while (!ready.empty()) {
      const size_t next = ready.top();
      ready.pop();
      ++done;
      if (!masks_.contains(next)) order.push_back(next);
      for (const size_t user : users[next]) {
        if (--waits[user] == 0) ready.push(user);
      }
    }
    if (done != waits.size()) {
      const auto stuck = std::ranges::find_if(waits, [](size_t n) { return n > 0; });
      throw invalid_argument(place_, ": expected a network without cycles, found one at \"",
                             network_.nodes[static_cast<size_t>(stuck - waits.begin())].key, "\"");
    }
    return order;
  }

  const Known& known(const std::string& key, const ParsedNode& user) const {
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    throw invalid_argument(place_of(user), ": expected to be called on what layers give, found \"",
                           key, "\", which is a mask only");
  }

  // A name that no layer has yet.
  std::string name_for(const ParsedNode& node) {
    std::string flat = node.key;
    std::ranges::replace(flat, '/', '_');
    for (const std::string& name : {node.name, flat}) {
      if (names_.take(name)) return name;
    }
    return names_.make(flat);
  }

  void add(const ParsedNode& node, size_t index, NetworkBuilder& builder, ModelFile& file) {
    std::vector<Known> inputs;
    for (const std::string& key : arguments_of(node)) inputs.push_back(known(key, node));
    if (inputs.empty()) {
      throw invalid_argument(place_of(node), ": expected to be called on something, found nothing");
    }
    std::vector<TensorType> types;
    for (const Known& input : inputs) types.push_back(builder.type_of(input.source));
    require_sizes(node.config, place_of(node));
    for (const TensorType& type : types) {
      const bool is_sequence = type.shape.rank() >= 3;
      if (is_sequence && type.shape[1] > kMostSteps) {
        throw invalid_argument(place_of(node), ": expected at most ", kMostSteps,
                               " steps or rows, found ", type);
      }
    }
    ConfigContext context{.catalogs = catalogs_,
                          .place = place_of(node),
                          .is_keras2 = is_keras2_,
                          .inputs = types,
                          .notes = &file.notes};
    std::shared_ptr<nn::Layer> layer;
    if (node.is_layer()) {
      Json config = node.config;
      check_keywords(node, config, inputs, builder);
      auto component = read_component(node.class_name, config, nn::Layer::kFamily, context);
      layer.reset(dynamic_cast<nn::Layer*>(component.release()));
      if (layer->type() == "embedding" && is_floating(types.front().dtype)) {
        inputs.front() = add_cast(node, inputs.front(), builder, file);
      }
    } else {
      layer = operation_layer(node, types.front(), context);
      if (layer->keeps_mask() && builder.is_masked(inputs.front().source)) {
        throw invalid_argument(context.place,
                               ": expected an operation on a sequence without a mask, ",
                               "as Keras drops the mask at an operation, found one with it");
      }
    }
    layer->set_name(name_for(node));
    add_to(file, layer, inputs);
    const auto source = call(*layer, inputs, builder, context.place);
    known_[node.key] = {layer->name(), source};
    if (!node.is_layer()) return;
    const bool is_grouped = node.class_name == "GroupQueryAttention";  // as its groups are named
    KerasObject object{.class_name = is_grouped ? "GroupedQueryAttention" : node.class_name,
                       .name = node.name};
    bind_variables(*layer, layer->name() + "/", builder.new_variables(), object, bindings_[index]);
    objects_[index] = std::move(object);
  }

  // Query, value and key of attention where they are different ones.
  std::vector<std::string> arguments_of(const ParsedNode& node) const {
    std::vector<std::string> keys;
    for (const KerasArgument& argument : node.call.arguments) {
      if (!argument.node.empty()) {
        keys.push_back(argument.node);
      } else if (node.is_layer() && !argument.constant.is_null()) {
        throw invalid_argument(place_of(node),
                               ": expected to be called on what layers give, found ",
                               brief(argument.constant));
      }
    }
    for (const std::string keyword : {"inputs", "query", "value", "key", "initial_state"}) {
      if (const auto found = node.references.find(keyword); found != node.references.end()) {
        keys.insert(keys.end(), found->second.begin(), found->second.end());
      }
    }
    const bool is_self =
        attends(node.class_name) && keys.size() > 1 &&
        std::ranges::all_of(keys, [&](const auto& k) { return k == keys.front(); });
    if (is_self) keys.resize(1);
    return keys;
  }

  void check_keywords(const ParsedNode& node, Json& config, const std::vector<Known>& inputs,
                      const NetworkBuilder& builder) const {
    static const std::set<std::string> kInputs = {"inputs", "query", "value", "key",
                                                  "initial_state"};
    for (const auto& [keyword, keys] : node.references) {
      if (kInputs.contains(keyword)) continue;
      // Layers here pass masks on as Keras does. What has none of its own was given one that is
      // computed otherwise.
      const bool is_own = keyword == "mask" && builder.is_masked(inputs.front().source) &&
                          std::ranges::all_of(keys, [&](const std::string& key) {
                            const auto mask = index_.find(key);
                            return mask != index_.end() && masks_.contains(mask->second);
                          });
      if (!is_own) {
        throw invalid_argument(place_of(node), ": ", keyword, ": expected none, as only masks of ",
                               "Masking and of Embedding's mask_zero are known here, found \"",
                               keys.empty() ? "" : keys.front(), "\"");
      }
    }
    for (const auto& [keyword, value] : node.call.keywords.items()) {
      if (keyword == "training" || value.is_null() || value == false) continue;
      if (keyword == "use_causal_mask" && value == true && attends(node.class_name)) {
        config["use_causal_mask"] = true;
        continue;
      }
      throw invalid_argument(place_of(node), ": ", keyword,
                             ": expected its default, as a call has ",
                             "no such option here, found ", brief(value));
    }
  }

  NetworkBuilder::Source call(nn::Layer& layer, const std::vector<Known>& inputs,
                              NetworkBuilder& builder, const std::string& place) const {
    std::vector<NetworkBuilder::Source> sources;
    for (const Known& input : inputs) sources.push_back(input.source);
    try {
      return builder.call(layer, std::move(sources));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      throw invalid_argument(place, ": ", error.what());
    }
  }

  Known add_cast(const ParsedNode& node, const Known& input, NetworkBuilder& builder,
                 ModelFile& file) {
    auto cast =
        std::make_shared<nn::OperationLayer>(nn::OperationOptions{.function = nn::Operation::kInt});
    cast->set_name(names_.make(node.name + "_indices"));
    add_to(file, cast, {input});
    return {cast->name(), call(*cast, {input}, builder, place_of(node))};
  }

  // Names what it is called on only where that is not the layer above.
  static void add_to(ModelFile& file, const std::shared_ptr<nn::Layer>& layer,
                     const std::vector<Known>& inputs) {
    const std::string above = file.layers.empty() ? "feature_0" : file.layers.back()->name();
    if (inputs.size() != 1 || inputs.front().name != above) {
      std::vector<std::string> names;
      for (const Known& input : inputs) names.push_back(input.name);
      layer->set_inputs(std::move(names));
    } else {
      layer->set_inputs({});
    }
    file.layers.push_back(layer);
  }

  void add_outputs(ReadNetwork& result) const {
    for (const std::string& key : network_.models.front().outputs) {
      const auto found = known_.find(key);
      if (found == known_.end() || found->second.source.is_feature) {
        throw invalid_argument(place_, ": expected outputs that layers give, found \"", key, "\"");
      }
      result.outputs.emplace_back(key, found->second.name);
      result.file.outputs.push_back(found->second.name);
    }
  }

  KerasObject object_of(size_t model, std::vector<VariableBinding>& bindings) {
    const ParsedModel& parsed = network_.models[model];
    KerasObject object{.class_name = parsed.class_name, .name = parsed.name};
    if (model == 0) {
      object.attribute = "";
      object.in_list = false;
    }
    if (object.class_name == "Model") object.class_name = "Functional";
    for (const auto& [index, is_model] : parsed.parts) {
      if (is_model) {
        object.children.push_back(object_of(index, bindings));
        continue;
      }
      if (masks_.contains(index) || !network_.nodes[index].is_layer()) continue;
      object.children.push_back(std::move(objects_[index]));
      bindings.insert(bindings.end(), bindings_[index].begin(), bindings_[index].end());
    }
    return object;
  }

  ParsedNetwork network_;
  std::string place_;
  bool is_keras2_;
  const nn::Catalogs& catalogs_;
  std::map<std::string, size_t> index_;  // of nodes, by key
  std::set<size_t> masks_;
  std::map<std::string, Known> known_;  // by key
  nn::LayerNames names_;
  std::vector<KerasObject> objects_;  // of each node
  std::vector<std::vector<VariableBinding>> bindings_;
};

}  // namespace

ReadNetwork read_network(const Json& json, const std::string& place, bool is_keras2,
                         const nn::Catalogs& catalogs) {
  return Reader(parse_network(json, place), place, is_keras2, catalogs).read();
}

}  // namespace trireme::formats
