#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/formats/keras/object_graph.h"
#include "core/formats/keras/tf_checkpoint.h"
#include "core/io/input_file.h"

namespace trireme::formats {
namespace {

// What hangs on a model besides its layers' variables: its optimizer, the state of metrics and of
// random numbers, and what Keras 2 adds in SavedModels.
const std::set<std::string, std::less<>> kBeside = {"optimizer",
                                                    "loss",
                                                    "metrics",
                                                    "_metrics",
                                                    "_loss_tracker",
                                                    "keras_api",
                                                    "_compile_metrics",
                                                    "compiled_metrics",
                                                    "_seed_generators",
                                                    "seed_generator",
                                                    "_random_generator",
                                                    "random_generator",
                                                    "_compiled_trainable_state"};

// A slot of Keras 3's optimizers, as those of TensorFlow before 2.11 name it.
constexpr auto kOldSlots = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"momentum", "momentum"},
     {"momentum", "m"},
     {"velocity", "v"},
     {"velocity_hat", "vhat"},
     {"velocity", "rms"},
     {"average_gradient", "mg"},
     {"accumulated_grad", "accum_grad"},
     {"accumulated_delta_var", "accum_var"},
     {"norm", "v"},
     {"accumulator", "accumulator"},
     {"linear", "linear"}});

bool has_variables(const KerasObject& object) {
  return !object.variables.empty() || std::ranges::any_of(object.children, has_variables);
}

class CheckpointReader {
 public:
  explicit CheckpointReader(const std::string& prefix)
      : graph_(prefix), has_variables_(graph_.leads_to_variables(kBeside)) {}

  void read(KerasModelWeights& weights) {
    const int named = graph_.child(0, "model");
    const int model = named >= 0 ? named : 0;
    read_object(weights.model, model, weights.model.name);
    check_all_read(model);
    const int optimizer = optimizer_node();
    if (optimizer < 0) weights.optimizer.reset();
    if (weights.optimizer) read_optimizer(*weights.optimizer, optimizer, weights.model);
  }

  size_t optimizer_variables() const {
    const int optimizer = optimizer_node();
    if (optimizer < 0) return 0;
    const size_t old = graph_.slots(optimizer).size();
    const size_t slots = old > 0 ? old : slot_nodes(optimizer).size();
    return slots + (iterations_node(optimizer) >= 0 ? 1 : 0) + (rate_node(optimizer) >= 0 ? 1 : 0);
  }

 private:
  Error refuse(const std::string& path, const std::string& what) const {
    return invalid_argument(graph_.bundle().prefix(), ": ", io::quote_name(path), ": ", what);
  }

  // -1: the checkpoint has no optimizer's state.
  int optimizer_node() const {
    int node = graph_.child(0, "optimizer");
    const int model = graph_.child(0, "model");
    if (node < 0 && model >= 0) node = graph_.child(model, "optimizer");
    return node >= 0 && !graph_.variables(node, {}).empty() ? node : -1;
  }

  // The first of these children that is a variable; -1: none is.
  int first_of(int node, std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const int found = graph_.child(node, name);
      if (found >= 0 && graph_.key(found)) return found;
    }
    return -1;
  }
  int iterations_node(int optimizer) const {
    return first_of(optimizer, {"_iterations", "iterations", "iter"});
  }
  int rate_node(int optimizer) const {
    return first_of(optimizer, {"_learning_rate", "learning_rate"});
  }

  // Of optimizers that list their variables, in order.
  std::vector<int> slot_nodes(int optimizer) const {
    const int list = graph_.child(optimizer, "_variables");
    if (list < 0) return {};
    std::vector<int> nodes = graph_.numbered(list, "");
    const int iterations = iterations_node(optimizer), rate = rate_node(optimizer);
    std::erase_if(
        nodes, [&](int node) { return node == iterations || node == rate || !graph_.key(node); });
    return nodes;
  }

  // Keras 2 or 3 may have a name with an underscore in front, or without.
  int find(int node, const std::string& name) const {
    if (name.empty()) return -1;
    const int as_said = graph_.child(node, name);
    if (as_said >= 0) return as_said;
    return graph_.child(node, name.front() == '_' ? name.substr(1) : "_" + name);
  }

  Tensor value_of(int node, const std::string& path) {
    if (node < 0 || !graph_.key(node)) {
      throw refuse(path, "expected a variable, the checkpoint has none there");
    }
    read_.insert(node);
    return graph_.bundle().read(*graph_.key(node));
  }

  // The objects with variables in a list of `owner`, in order.
  std::vector<int> listed(int owner, const std::string& attribute) const {
    std::vector<int> all;
    if (attribute == "layers") {
      all = graph_.numbered(owner, "layer_with_weights-");
      if (all.empty()) {
        const int inner = graph_.child(owner, "_functional");  // of a Sequential of Keras 3
        const int list = find(inner >= 0 ? inner : owner, "operations");
        if (list >= 0) all = graph_.numbered(list, "");
      }
    } else if (const int list = find(owner, attribute); list >= 0) {
      all = graph_.numbered(list, "");
    }
    std::erase_if(all, [&](int node) { return !has_variables_[static_cast<size_t>(node)]; });
    return all;
  }

  void read_object(KerasObject& object, int node, const std::string& path) {
    for (KerasVariable& variable : object.variables) {
      const std::string at = path + "/" + variable.name;
      variable.value = value_of(find(node, variable.name), at);
      node_of_[&variable] = find(node, variable.name);
    }
    std::map<std::string, std::vector<int>> lists;
    std::map<std::string, size_t> next;
    for (const KerasObject& child : object.children) {
      if (!child.in_list || lists.contains(child.attribute)) continue;
      lists[child.attribute] = listed(node, child.attribute);
      const auto expected = std::ranges::count_if(object.children, [&](const KerasObject& other) {
        return other.in_list && other.attribute == child.attribute && has_variables(other);
      });
      const size_t found = lists[child.attribute].size();
      if (found != static_cast<size_t>(expected)) {
        throw refuse(path, str_cat("expected ", expected, " layers with variables, found ", found,
                                   "; the model is another"));
      }
    }
    for (KerasObject& child : object.children) {
      if (!has_variables(child)) continue;
      const std::string at = path + "/" + (child.in_list ? child.name : child.attribute);
      const int found = child.in_list ? lists[child.attribute][next[child.attribute]++]
                                      : find(node, child.attribute);
      if (found < 0) throw refuse(at, "expected an object, the checkpoint has none there");
      read_object(child, found, at);
    }
  }

  void check_all_read(int model) const {
    for (const int node : graph_.variables(model, kBeside)) {
      if (read_.contains(node)) continue;
      throw refuse(*graph_.key(node),
                   "the checkpoint has this variable, the model does not; its layers are others");
    }
  }

  void read_optimizer(KerasObject& optimizer, int node, const KerasObject& model) {
    std::vector<KerasVariable>& variables = optimizer.variables;
    // Schedules and Keras 2 may keep no learning rate.
    const int iterations = iterations_node(node), rate = rate_node(node);
    std::vector<KerasVariable*> slots;
    for (size_t i = 0; i < variables.size(); ++i) {
      if (variables[i].name == "iteration") {
        variables[i].value = value_of(iterations, "optimizer/iterations");
      } else if (variables[i].name == "learning_rate" && rate >= 0) {
        variables[i].value = value_of(rate, "optimizer/learning_rate");
      }
    }
    for (KerasVariable& variable : variables) {
      if (variable.name != "iteration" && variable.name != "learning_rate") {
        slots.push_back(&variable);
      }
    }
    if (!graph_.slots(node).empty()) return read_old_slots(slots, node, model);
    const std::vector<int> nodes = slot_nodes(node);
    if (nodes.size() != slots.size()) {
      throw refuse("optimizer", str_cat("expected ", slots.size(), " slots of ",
                                        optimizer.class_name, ", found ", nodes.size()));
    }
    for (size_t i = 0; i < slots.size(); ++i) {
      slots[i]->value = value_of(nodes[i], "optimizer/" + slots[i]->path);
    }
  }

  // Of optimizers that keep a slot by its variable: their names are other ones.
  void read_old_slots(const std::vector<KerasVariable*>& slots, int node,
                      const KerasObject& model) {
    std::map<std::pair<int, std::string>, int> by_variable;
    for (const auto& slot : graph_.slots(node)) by_variable[{slot.variable, slot.name}] = slot.slot;
    std::map<std::string, int> nodes;  // by the variable's name in a slot's path
    add_names(model, nodes);
    for (KerasVariable* slot : slots) {
      const size_t begin = slot->path.find('/') + 1;
      slot->value = value_of(old_slot(by_variable, nodes, slot->path.substr(begin)),
                             "optimizer/" + slot->path);
    }
  }

  // "dense_kernel_momentum": of the variable "dense_kernel".
  static int old_slot(const std::map<std::pair<int, std::string>, int>& slots,
                      const std::map<std::string, int>& nodes, const std::string& name) {
    for (const auto& [ours, old] : kOldSlots) {
      const std::string suffix = "_" + std::string(ours);
      if (!name.ends_with(suffix)) continue;
      const auto variable = nodes.find(name.substr(0, name.size() - suffix.size()));
      if (variable == nodes.end()) continue;
      const auto found = slots.find({variable->second, std::string(old)});
      if (found != slots.end()) return found->second;
    }
    return -1;
  }

  void add_names(const KerasObject& object, std::map<std::string, int>& nodes) const {
    for (const KerasVariable& variable : object.variables) {
      std::string name = variable.path;
      std::ranges::replace(name, '/', '_');
      nodes[name] = node_of_.at(&variable);
    }
    for (const KerasObject& child : object.children) add_names(child, nodes);
  }

  ObjectGraph graph_;
  std::vector<bool> has_variables_;  // by node
  std::set<int> read_;
  std::map<const KerasVariable*, int> node_of_;
};

}  // namespace

std::string checkpoint_prefix(const std::string& path) {
  constexpr std::string_view kIndex = ".index";
  return path.ends_with(kIndex) ? path.substr(0, path.size() - kIndex.size()) : path;
}

bool is_tf_checkpoint(const std::string& path) {
  try {
    return io::BundleReader(checkpoint_prefix(path)).contains(kObjectGraphKey);
  } catch (const Error&) {
    return false;
  }
}

void read_tf_checkpoint(const std::string& prefix, KerasModelWeights& weights) {
  CheckpointReader(prefix).read(weights);
}

size_t optimizer_variables_of(const std::string& prefix) {
  return CheckpointReader(prefix).optimizer_variables();
}

nn::StateMap read_all_of_checkpoint(const std::string& prefix) {
  const io::BundleReader bundle(prefix);
  nn::StateMap all;
  for (const std::string& name : bundle.names()) {
    if (name == kObjectGraphKey) continue;
    const bool is_variable = name.ends_with(kVariableSuffix);
    all[is_variable ? name.substr(0, name.size() - kVariableSuffix.size()) : name] =
        bundle.read(name);
  }
  return all;
}

}  // namespace trireme::formats
