#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/formats/keras/object_graph.h"
#include "core/formats/keras/tf_checkpoint.h"
#include "proto/tf/trackable_object_graph.pb.h"

namespace trireme::formats {
namespace {

// Where Keras 2's optimizers keep the slots that Keras 3 calls so.
constexpr auto kLists =
    std::to_array<std::tuple<std::string_view, std::string_view, std::string_view>>({
        {"Adam", "momentum", "_momentums"},
        {"Adam", "velocity", "_velocities"},
        {"Adam", "velocity_hat", "_velocity_hats"},
        {"AdamW", "momentum", "_momentums"},
        {"AdamW", "velocity", "_velocities"},
        {"AdamW", "velocity_hat", "_velocity_hats"},
        {"Nadam", "momentum", "_momentums"},
        {"Nadam", "velocity", "_velocities"},
        {"SGD", "momentum", "momentums"},
        {"Lion", "momentum", "momentums"},
        {"RMSprop", "velocity", "_velocities"},
        {"RMSprop", "momentum", "_momentums"},
        {"RMSprop", "average_gradient", "_average_gradients"},
        {"Adagrad", "accumulator", "_accumulators"},
        {"Adadelta", "accumulated_grad", "_accumulated_grads"},
        {"Adadelta", "accumulated_delta_var", "_accumulated_delta_vars"},
        {"Adamax", "momentum", "_m"},
        {"Adamax", "norm", "_u"},
        {"Ftrl", "accumulator", "_accumulators"},
        {"Ftrl", "linear", "_linears"},
    });

bool has_variables(const KerasObject& object) {
  return !object.variables.empty() || std::ranges::any_of(object.children, has_variables);
}

std::string lower(std::string_view text) {
  std::string made(text);
  std::ranges::transform(made, made.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return made;
}

class CheckpointWriter {
 public:
  explicit CheckpointWriter(const std::string& prefix) : bundle_(prefix) {}

  // A model's layers hang on the root, where load_weights() looks for them, and on its child
  // "model", where a tf.train.Checkpoint does.
  void write(const KerasModelWeights& weights) {
    const int root = add_node(), model = add_node();
    link(root, "model", model);
    add_object(weights.model, model, "model");
    for (const auto& child : graph_.nodes(model).children()) {
      link(root, child.local_name(), child.node_id());
    }
    if (weights.optimizer) {
      const int optimizer = add_node();
      link(root, "optimizer", optimizer);
      link(model, "optimizer", optimizer);
      add_optimizer(*weights.optimizer, optimizer);
    }
    const int counter = add_node();
    link(root, "save_counter", counter);
    add_value(counter, "save_counter", "save_counter", Tensor::scalar<int64_t>(1));
    for (auto& node : *graph_.mutable_nodes()) {
      if (node.children_size() + node.attributes_size() > 0) {
        node.mutable_has_checkpoint_values()->set_value(true);
      }
    }
    bundle_.add(std::string(kObjectGraphKey),
                Tensor::scalar<std::string>(graph_.SerializeAsString()));
    bundle_.finish();
  }

 private:
  int add_node() {
    graph_.add_nodes();
    return graph_.nodes_size() - 1;
  }

  void link(int owner, const std::string& name, int child) {
    auto* reference = graph_.mutable_nodes(owner)->add_children();
    reference->set_local_name(name);
    reference->set_node_id(child);
  }

  void add_value(int node, const std::string& path, const std::string& full_name,
                 const Tensor& value) {
    const std::string key = path + std::string(kVariableSuffix);
    auto* attribute = graph_.mutable_nodes(node)->add_attributes();
    attribute->set_name("VARIABLE_VALUE");
    attribute->set_full_name(full_name);
    attribute->set_checkpoint_key(key);
    bundle_.add(key, value);
  }

  int add_variable(int owner, const std::string& name, const std::string& path,
                   const KerasVariable& variable) {
    const int node = add_node();
    link(owner, name, node);
    add_value(node, path + "/" + name, variable.path.empty() ? variable.name : variable.path,
              variable.value);
    return node;
  }

  void add_object(const KerasObject& object, int node, const std::string& path) {
    for (const KerasVariable& variable : object.variables) {
      add_variable(node, variable.name, path, variable);
    }
    int layers = 0, with_weights = 0;
    std::map<std::string, std::pair<int, int>> lists;  // the node, and how many are in it
    for (const KerasObject& child : object.children) {
      const int made = add_node();
      std::string at;
      if (child.in_list && child.attribute == "layers") {
        const std::string plain = "layer-" + std::to_string(layers++);
        link(node, plain, made);
        at = plain;
        if (has_variables(child)) {
          at = "layer_with_weights-" + std::to_string(with_weights++);
          link(node, at, made);
        }
      } else if (child.in_list) {
        auto [list, is_new] = lists.try_emplace(child.attribute, -1, 0);
        if (is_new) {
          list->second.first = add_node();
          link(node, child.attribute, list->second.first);
        }
        const std::string number = std::to_string(list->second.second++);
        link(list->second.first, number, made);
        at = child.attribute + "/" + number;
      } else {
        at = keras2_attribute(object, child.attribute);
        link(node, at, made);
      }
      add_object(child, made, path + "/" + at);
    }
    if (is_attention(object)) {
      // Layers without variables, which a checkpoint names all the same.
      for (const char* name : {"_softmax", "_dropout_layer"}) link(node, name, add_node());
    }
  }

  static bool is_attention(const KerasObject& object) {
    return object.class_name == "MultiHeadAttention";
  }

  // Keras 2 keeps the parts of an attention as "_query_dense".
  static std::string keras2_attribute(const KerasObject& owner, const std::string& attribute) {
    return is_attention(owner) && !attribute.starts_with('_') ? "_" + attribute : attribute;
  }

  // Keras 2 lists iterations and slots as "_variables", and slots of each kind once more.
  void add_optimizer(const KerasObject& optimizer, int node) {
    const int all = add_node();
    link(node, "_variables", all);
    std::map<std::string, std::pair<int, int>> lists;
    int number = 0;
    for (const KerasVariable& variable : optimizer.variables) {
      if (variable.name == "learning_rate") {
        add_variable(node, "_learning_rate", "optimizer", variable);
        continue;
      }
      if (variable.name == "iteration") {
        const int made = add_variable(node, "_iterations", "optimizer", variable);
        link(all, std::to_string(number++), made);
        continue;
      }
      const std::string index = std::to_string(number++);
      const int made = add_variable(all, index, "optimizer/_variables", variable);
      const auto list = std::ranges::find_if(kLists, [&](const auto& row) {
        const auto& [optimizer_class, slot, name] = row;
        const std::string suffix = "_" + std::string(slot);
        return lower(optimizer_class) == lower(optimizer.class_name) &&
               (variable.name == slot || variable.name.ends_with(suffix));
      });
      if (list == kLists.end()) continue;
      const std::string name(std::get<2>(*list));
      auto [found, is_new] = lists.try_emplace(name, -1, 0);
      if (is_new) {
        found->second.first = add_node();
        link(node, name, found->second.first);
      }
      link(found->second.first, std::to_string(found->second.second++), made);
    }
  }

  io::BundleWriter bundle_;
  tf::TrackableObjectGraph graph_;
};

}  // namespace

void write_tf_checkpoint(const KerasModelWeights& weights, const std::string& prefix) {
  CheckpointWriter(prefix).write(weights);
}

}  // namespace trireme::formats
