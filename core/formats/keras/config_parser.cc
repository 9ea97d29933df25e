#include "core/formats/keras/config_parser.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

constexpr size_t kMostNodes = 200'000;
constexpr size_t kMostInputs = 1'000;
constexpr int kDeepestModel = 32;
constexpr int64_t kLargestSize = int64_t{1} << 40;

bool is_model(const std::string& class_name, const Json& config) {
  return (class_name == "Sequential" || class_name == "Functional" || class_name == "Model") &&
         config.is_object() && config.contains("layers");
}

class Parser {
 public:
  explicit Parser(std::string place) : place_(std::move(place)) {}

  ParsedNetwork parse(const Json& json) {
    const std::string class_name = text_member(json, "class_name", place_);
    const Json& config = member(json, "config");
    if (!is_model(class_name, config)) {
      throw invalid_argument(place_,
                             ": expected a Sequential or Functional model, whose "
                             "configuration says its layers, found the class ",
                             class_name);
    }
    add_model(class_name, config, "", {}, 0);
    resolve_all();
    return std::move(network_);
  }

 private:
  using Keys = std::vector<std::string>;

  std::string place_of(const std::string& key) const {
    return str_cat(place_, ": layer \"", key, "\"");
  }

  Shape shape_of(const Json& sizes, const std::string& place) const {
    if (!sizes.is_array() || sizes.empty() || sizes.size() > Shape::kMaxRank) {
      throw invalid_argument(place, ": expected the shape of an input with its batch, found ",
                             brief(sizes));
    }
    std::vector<int64_t> dims;
    for (const Json& size : sizes) {
      const bool is_known = size.is_number_integer();
      if (!is_known && !size.is_null()) {
        throw invalid_argument(place, ": expected sizes of an input, found ", brief(sizes));
      }
      const int64_t dim = is_known ? size.get<int64_t>() : -1;
      if (is_known && (dim < 0 || dim > kLargestSize)) {
        throw invalid_argument(place, ": expected sizes of an input, found ", brief(sizes));
      }
      dims.push_back(dim);
    }
    dims.front() = -1;
    return Shape(dims);
  }

  void add_network_input(const std::string& key, const Json& shape, const Json& dtype,
                         const std::string& place) {
    const Json& name = dtype.is_object() ? member(member(dtype, "config"), "name") : dtype;
    const std::string text = name.is_string() ? name.get<std::string>() : "float32";
    const auto type = dtype_from_keras(text.starts_with("mixed_") ? "float32" : text);
    if (!type) {
      throw invalid_argument(place, ": expected an input of numbers, found ", brief(dtype));
    }
    if (network_.inputs.size() >= kMostInputs) {
      throw invalid_argument(place_, ": expected at most ", kMostInputs, " inputs, found more");
    }
    network_.inputs.push_back({key, {*type, shape_of(shape, place)}});
  }

  // `given`: keys of what it is called on; none for the whole model.
  void add_model(const std::string& class_name, const Json& config, const std::string& prefix,
                 const Keys& given, int depth) {
    if (depth > kDeepestModel) {
      throw invalid_argument(place_, ": expected models in at most ", kDeepestModel,
                             " models, found deeper ones");
    }
    const size_t index = network_.models.size();
    network_.models.emplace_back();
    network_.models[index].class_name = class_name;
    const Json& name = member(config, "name");
    network_.models[index].name = name.is_string() ? name.get<std::string>() : "model";
    const Json& layers = member(config, "layers");
    if (!layers.is_array() || layers.empty()) {
      throw invalid_argument(place_, ": expected a model with layers, found ", brief(layers));
    }
    if (class_name == "Sequential") {
      add_row(index, config, layers, prefix, given, depth);
    } else {
      add_functional(index, config, layers, prefix, given, depth);
    }
  }

  void add_row(size_t model, const Json& config, const Json& layers, const std::string& prefix,
               const Keys& given, int depth) {
    if (given.size() > 1) {
      throw invalid_argument(place_, ": expected a Sequential that is called on one input, found ",
                             given.size());
    }
    std::string last = given.empty() ? "" : given.front();
    for (const Json& layer : layers) {
      const std::string class_name = text_member(layer, "class_name", place_);
      const Json& options = member(layer, "config");
      const std::string key = key_of(layer, options, prefix);
      const std::string place = place_of(key);
      if (class_name == "InputLayer") {
        if (!last.empty() && given.empty()) {
          throw invalid_argument(
              place, ": expected an input before all layers, found one behind \"", last, "\"");
        }
        if (given.empty()) {
          add_input_layer(key, options, place);
          last = key;
        }
        continue;
      }
      if (last.empty()) {
        last = add_implicit_input(config, class_name, options, prefix);
      }
      if (is_model(class_name, options)) {
        add_part_model(model, class_name, options, key, {last}, depth);
      } else {
        ParsedNode& node = add_node(model, layer, class_name, options, key);
        node.call.arguments.push_back({last, nullptr});
      }
      last = key;
    }
    network_.models[model].outputs = {last};
  }

  void add_input_layer(const std::string& key, const Json& options, const std::string& place) {
    const Json& shape = options.contains("batch_shape") ? options.at("batch_shape")
                                                        : member(options, "batch_input_shape");
    if (member(options, "sparse") == true || member(options, "ragged") == true) {
      throw invalid_argument(place, ": expected a dense input, found a sparse or ragged one");
    }
    add_network_input(key, shape, member(options, "dtype"), place);
  }

  // A Sequential may say the shape of its input in its first layer or for itself.
  std::string add_implicit_input(const Json& config, const std::string& class_name,
                                 const Json& options, const std::string& prefix) {
    const std::string key = prefix + "input";
    const Json* shape = &member(options, "batch_input_shape");
    if (shape->is_null()) shape = &member(options, "batch_shape");
    if (shape->is_null()) shape = &member(config, "build_input_shape");
    if (shape->is_null() && is_model(class_name, options)) {
      const Json& layers = options.at("layers");
      if (layers.is_array() && !layers.empty()) {
        const Json& first = member(layers.front(), "config");
        shape = &member(first, "batch_shape");
        if (shape->is_null()) shape = &member(first, "batch_input_shape");
        if (shape->is_null()) shape = &member(options, "build_input_shape");
      }
    }
    if (shape->is_null()) {
      throw invalid_argument(place_, ": expected a Sequential that says the shape of its input, ",
                             "found none; build it before it is saved");
    }
    add_network_input(key, *shape, nullptr, place_);
    return key;
  }

  void add_functional(size_t model, const Json& config, const Json& layers,
                      const std::string& prefix, const Keys& given, int depth) {
    const Keys inputs = keys_of_triples(member(config, "input_layers"), prefix);
    if (depth > 0 && inputs.size() != given.size()) {
      throw invalid_argument(place_, ": expected the model \"", prefix, "\" to be called on ",
                             inputs.size(), " inputs, found ", given.size());
    }
    std::map<std::string, Json> options_of_inputs;
    for (const Json& layer : layers) {
      const std::string class_name = text_member(layer, "class_name", place_);
      const Json& options = member(layer, "config");
      const std::string key = key_of(layer, options, prefix);
      if (class_name == "InputLayer") {
        options_of_inputs[key] = options;
        continue;
      }
      const Json& calls = member(layer, "inbound_nodes");
      if (!calls.is_array() || calls.size() != 1) {
        throw invalid_argument(place_of(key), ": expected a layer that is called once, found ",
                               calls.is_array() ? str_cat(calls.size(), " calls") : brief(calls),
                               "; give each call a layer of its own");
      }
      if (is_model(class_name, options)) {
        ParsedNode call;
        call.key = key;
        read_call(calls.front(), prefix, call);
        Keys arguments;
        for (const KerasArgument& argument : call.call.arguments) {
          if (argument.node.empty()) {
            throw invalid_argument(place_of(key),
                                   ": expected a model that is called on what layers ",
                                   "give, found ", brief(argument.constant));
          }
          arguments.push_back(argument.node);
        }
        add_part_model(model, class_name, options, key, arguments, depth);
        continue;
      }
      ParsedNode& node = add_node(model, layer, class_name, options, key);
      read_call(calls.front(), prefix, node);
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto found = options_of_inputs.find(inputs[i]);
      if (found == options_of_inputs.end()) {
        throw invalid_argument(place_, ": expected an InputLayer \"", inputs[i],
                               "\" for an input, found none");
      }
      if (depth > 0) {
        aliases_[inputs[i]] = given[i];
      } else {
        add_input_layer(inputs[i], found->second, place_of(inputs[i]));
      }
    }
    network_.models[model].outputs = keys_of_triples(member(config, "output_layers"), prefix);
  }

  void add_part_model(size_t model, const std::string& class_name, const Json& options,
                      const std::string& key, const Keys& given, int depth) {
    take(key);
    const size_t part = network_.models.size();
    network_.models[model].parts.emplace_back(part, true);
    add_model(class_name, options, key + "/", given, depth + 1);
    const Keys& outputs = network_.models[part].outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      aliases_[i == 0 ? key : str_cat(key, ":", i)] = outputs[i];
    }
  }

  ParsedNode& add_node(size_t model, const Json& layer, const std::string& class_name,
                       const Json& options, const std::string& key) {
    take(key);
    if (network_.nodes.size() >= kMostNodes) {
      throw invalid_argument(place_, ": expected at most ", kMostNodes, " layers, found more");
    }
    network_.models[model].parts.emplace_back(network_.nodes.size(), false);
    const Json& module = member(layer, "module");
    const Json& registered = member(layer, "registered_name");
    if (registered.is_string() && registered.get<std::string>().find('>') != std::string::npos) {
      throw invalid_argument(place_of(key), ": expected a layer of Keras's, found ",
                             brief(registered), " of a program's own");
    }
    ParsedNode node;
    node.key = key;
    node.name = key.substr(key.rfind('/') + 1);
    // The older `.h5` has no modules; there all layers but these say whether they are trained.
    const bool says_less = class_name.starts_with("SpatialDropout") ||
                           class_name == "HashedCrossing" || class_name == "Discretization";
    const bool is_operation =
        module.is_null() && !says_less && options.is_object() && !options.contains("trainable");
    node.module = module.is_string() ? module.get<std::string>()
                  : is_operation     ? "keras.src.ops"
                                     : "keras.layers";
    node.class_name = class_name;
    node.config = options.is_object() ? options : Json::object();
    network_.nodes.push_back(std::move(node));
    return network_.nodes.back();
  }

  void take(const std::string& key) {
    if (!keys_.insert(key).second) {
      throw invalid_argument(place_, ": expected layers of different names, found two \"", key,
                             "\"");
    }
  }

  std::string key_of(const Json& layer, const Json& options, const std::string& prefix) const {
    const Json& outer = member(layer, "name");
    const Json& name = outer.is_string() ? outer : member(options, "name");
    if (!name.is_string() || name.get<std::string>().empty()) {
      throw invalid_argument(place_, ": expected layers with names, found ", brief(name));
    }
    return prefix + name.get<std::string>();
  }

  // ["dense", 0, 0].
  static bool is_triple(const Json& json) {
    return json.is_array() && json.size() >= 3 && json[0].is_string() &&
           json[1].is_number_integer() && json[2].is_number_integer();
  }

  // A node's first call has the index 0; a model's may have 1, as it was called when it was made.
  std::string key_of_triple(const Json& triple, const std::string& prefix) const {
    const std::string key = prefix + triple[0].get<std::string>();
    const auto index = triple[1].get<int64_t>(), part = triple[2].get<int64_t>();
    if (index < 0 || index > 1 || part < 0 || part > 10'000) {
      throw invalid_argument(place_of(key), ": expected a layer that is called once, found ",
                             brief(triple));
    }
    return part == 0 ? key : str_cat(key, ":", part);
  }

  Keys keys_of_triples(const Json& json, const std::string& prefix) const {
    Keys keys;
    if (is_triple(json)) return {key_of_triple(json, prefix)};
    if (json.is_array() || json.is_object()) {  // an object: named inputs, in their order
      for (const auto& [index, each] : json.items()) {
        if (is_triple(each)) {
          keys.push_back(key_of_triple(each, prefix));
        } else if (each.is_array() && each.size() == 1 && is_triple(each[0])) {
          keys.push_back(key_of_triple(each[0], prefix));
        } else {
          keys.clear();
          break;
        }
      }
    }
    if (keys.empty()) {
      throw invalid_argument(
          place_, ": expected the inputs and outputs of a model as a list, found ", brief(json));
    }
    return keys;
  }

  std::optional<std::string> key_of_tensor(const Json& json, const std::string& prefix) const {
    if (member(json, "class_name") != "__keras_tensor__") return std::nullopt;
    const Json& history = member(member(json, "config"), "keras_history");
    if (!is_triple(history)) {
      throw invalid_argument(place_, ": expected where a tensor comes from, found ",
                             brief(history));
    }
    return key_of_triple(history, prefix);
  }

  void read_arguments(const Json& json, const std::string& prefix, KerasCall& call) const {
    for (const Json& each : json) {
      if (const auto key = key_of_tensor(each, prefix)) {
        call.arguments.push_back({*key, nullptr});
      } else if (has_tensor(each)) {
        call.is_list = true;
        read_arguments(each, prefix, call);
      } else {
        call.arguments.push_back({"", each});
      }
    }
  }
  static bool has_tensor(const Json& json) {
    return json.is_array() && std::ranges::any_of(json, [](const Json& each) {
             return member(each, "class_name") == "__keras_tensor__" || has_tensor(each);
           });
  }

  void read_call(const Json& json, const std::string& prefix, ParsedNode& node) const {
    if (json.is_object()) {
      const Json& arguments = member(json, "args");
      if (arguments.is_array()) read_arguments(arguments, prefix, node.call);
      const Json& keywords = member(json, "kwargs");
      if (!keywords.is_object()) return;
      for (const auto& [key, value] : keywords.items()) read_keyword(key, value, prefix, node);
      return;
    }
    // Keras 2: [["dense", 0, 0, {…}], …], each with the keywords of the call.
    const Json list = is_triple(json) ? Json::array({json}) : json;
    if (!list.is_array()) {
      throw invalid_argument(place_of(node.key), ": expected a call, found ", brief(json));
    }
    node.call.is_list = list.size() > 1;
    for (const Json& each : list) {
      if (!is_triple(each)) {
        throw invalid_argument(place_of(node.key), ": expected inputs of a call, found ",
                               brief(each));
      }
      node.call.arguments.push_back({key_of_triple(each, prefix), nullptr});
      if (each.size() < 4 || !each[3].is_object()) continue;
      for (const auto& [key, value] : each[3].items()) read_keyword(key, value, prefix, node);
    }
  }

  void read_keyword(const std::string& key, const Json& value, const std::string& prefix,
                    ParsedNode& node) const {
    Keys& keys = node.references[key];
    if (const auto tensor = key_of_tensor(value, prefix)) {
      keys = {*tensor};
    } else if (is_triple(value)) {
      keys = {key_of_triple(value, prefix)};
    } else if (has_tensor(value)) {
      KerasCall call;
      read_arguments(value, prefix, call);
      for (const KerasArgument& argument : call.arguments) keys.push_back(argument.node);
    } else if (value.is_array() && !value.empty() && std::ranges::all_of(value, is_triple)) {
      for (const Json& each : value) keys.push_back(key_of_triple(each, prefix));
    } else {
      node.references.erase(key);
      node.call.keywords[key] = value;
    }
  }

  std::string resolve(std::string key) const {
    for (size_t i = 0; i <= aliases_.size(); ++i) {
      const auto found = aliases_.find(key);
      if (found == aliases_.end()) return key;
      key = found->second;
    }
    throw invalid_argument(place_, ": expected a network without cycles, found one at \"", key,
                           "\"");
  }

  void resolve_all() {
    std::set<std::string> known;
    for (const ModelInput& input : network_.inputs) known.insert(input.name);
    for (const ParsedNode& node : network_.nodes) known.insert(node.key);
    const auto settle = [&](std::string& key, const std::string& user) {
      key = resolve(key);
      if (known.contains(key)) return;
      const size_t colon = key.rfind(':');
      if (colon != std::string::npos && known.contains(key.substr(0, colon))) {
        throw invalid_argument(place_of(user), ": expected \"", key.substr(0, colon),
                               "\" to give one value, found that value ", key.substr(colon + 1),
                               " of it is used");
      }
      throw invalid_argument(place_of(user), ": expected a layer or an input \"", key,
                             "\" that it is called on, found none");
    };
    for (ParsedNode& node : network_.nodes) {
      for (KerasArgument& argument : node.call.arguments) {
        if (!argument.node.empty()) settle(argument.node, node.key);
      }
      for (auto& [keyword, keys] : node.references) {
        for (std::string& key : keys) settle(key, node.key);
      }
    }
    for (std::string& key : network_.models.front().outputs) settle(key, "outputs");
  }

  std::string place_;
  ParsedNetwork network_;
  std::set<std::string> keys_;
  std::map<std::string, std::string> aliases_;
};

}  // namespace

ParsedNetwork parse_network(const Json& json, const std::string& place) {
  return Parser(place).parse(json);
}

}  // namespace trireme::formats
