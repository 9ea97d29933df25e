#include "core/passes/placement.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

std::string label(const Node& node) { return node.op().name + " '" + node.name() + "'"; }

// Chooses a device for every node of `graph`, by node id.
class Placer {
 public:
  Placer(const Graph& graph, const PlacementOptions& options)
      : graph_(graph), options_(options), group_(graph.nodes().size()) {
    std::iota(group_.begin(), group_.end(), 0);
  }

  std::vector<std::string> place() {
    if (options_.devices.empty()) throw invalid_argument("placement needs at least one device");
    const std::string& fallback =
        options_.default_device.empty() ? options_.devices[0] : options_.default_device;
    require_exists(fallback, "the default device");
    for (const auto& node : graph_.nodes()) {
      for (int i : mutated_inputs(*node)) {
        if (i < static_cast<int>(node->inputs().size()))
          join(node->id(), node->input(i).node->id());
      }
    }
    std::map<int, const Node*> pinned;  // by group
    for (const auto& node : graph_.nodes()) {
      if (node->device().empty()) continue;
      require_exists(node->device(), label(*node));
      const auto [it, first] = pinned.emplace(root(node->id()), node.get());
      if (!first && it->second->device() != node->device()) {
        throw invalid_argument(label(*node), " is pinned to ", node->device(), " and ",
                               label(*it->second), " to ", it->second->device(),
                               "; an update and its variables must share a device");
      }
    }
    std::vector<std::string> devices;
    for (const auto& node : graph_.nodes()) {
      const auto it = pinned.find(root(node->id()));
      devices.push_back(it == pinned.end() ? fallback : it->second->device());
    }
    if (!options_.host_devices.empty()) move_to_host(devices);
    return devices;
  }

 private:
  static bool is_of_host(const Node& node) {
    const auto is_string = [](const Value& value) { return value.dtype() == DType::kString; };
    for (int i = 0; i < node.output_count(); ++i) {
      if (is_string({const_cast<Node*>(&node), i})) return true;
    }
    return node.op().traits.runs_on_host || std::ranges::any_of(node.inputs(), is_string);
  }

  void move_to_host(std::vector<std::string>& devices) {
    const std::string& host = options_.host_devices.front();
    require_exists(host, "the host device");
    const auto device_of = [&](const Node& node) -> const std::string& {
      return devices[static_cast<size_t>(node.id())];
    };
    const auto is_there = [&](const Node& node) {
      return std::ranges::find(options_.host_devices, device_of(node)) !=
             options_.host_devices.end();
    };
    std::vector<bool> moved(group_.size());  // by group
    const auto moves = [&](const Node& node) -> std::vector<bool>::reference {
      return moved[static_cast<size_t>(root(node.id()))];
    };
    for (const auto& node : graph_.nodes()) {
      const bool cannot = options_.runs_on && !options_.runs_on(*node, device_of(*node));
      if (cannot || (is_of_host(*node) && !is_there(*node))) moves(*node) = true;
      const bool lives_there = options_.home && is_variable(*node) &&
                               options_.home(node->attribute<std::string>("name")) == host;
      if (lives_there && node->device().empty()) moves(*node) = true;
    }
    // What is only counted or looked up there need not be made elsewhere.
    const std::string& fallback =
        options_.default_device.empty() ? options_.devices[0] : options_.default_device;
    const Users users(graph_);
    for (auto it = graph_.nodes().rbegin(); it != graph_.nodes().rend(); ++it) {
      const Node& node = **it;
      if (moves(node) || device_of(node) != fallback) continue;
      bool used = false, all_there = true;
      for (int i = 0; i < node.output_count(); ++i) {
        all_there = all_there && !is_floating(node.output_type(i).dtype);
        for (const Node* user : users.of({const_cast<Node*>(&node), i})) {
          used = true;
          all_there = all_there && (moves(*user) || is_there(*user));
        }
      }
      if (used && all_there) moves(node) = true;
    }
    for (const auto& node : graph_.nodes()) {
      if (moves(*node)) devices[static_cast<size_t>(node->id())] = host;
    }
  }

  // Nodes that share a device, as a forest of parents (union-find).
  int root(int id) {
    while (group_[static_cast<size_t>(id)] != id) {
      int& parent = group_[static_cast<size_t>(id)];
      parent = group_[static_cast<size_t>(parent)];
      id = parent;
    }
    return id;
  }
  void join(int a, int b) { group_[static_cast<size_t>(root(a))] = root(b); }

  void require_exists(const std::string& device, const std::string& who) const {
    if (std::ranges::find(options_.devices, device) != options_.devices.end()) return;
    throw not_found(who, " is pinned to ", device, ", which is not there; there is ",
                    list(options_.devices));
  }

  const Graph& graph_;
  const PlacementOptions& options_;
  std::vector<int> group_;
};

// "x" for "/device:CPU:1" becomes "x/to_cpu_1".
std::string copy_name(const Node& node, const std::string& device) {
  std::string name = node.name() + "/to_";
  const auto parsed = parse_device_name(device);
  for (char c : parsed ? parsed->kind : device) {
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return parsed ? name + "_" + std::to_string(parsed->index) : name;
}

}  // namespace

Program place(Program program, const PlacementOptions& options) {
  ProgramRewrite rewrite(std::move(program));
  const std::vector<std::string> devices = Placer(*rewrite.from().graph, options).place();
  const auto device_of = [&](const Node& node) -> const std::string& {
    return devices[static_cast<size_t>(node.id())];
  };
  const Users users(*rewrite.from().graph);
  std::map<std::pair<const Node*, std::string>, std::vector<Value>> copies;  // by output index

  for (const auto& node : rewrite.nodes()) {
    std::vector<Value> inputs;
    for (const Value& input : node->inputs()) {
      const bool here = device_of(*input.node) == device_of(*node);
      inputs.push_back(
          here ? rewrite.copier().map(input)
               : copies.at({input.node, device_of(*node)}).at(static_cast<size_t>(input.index)));
    }
    Node& placed =
        rewrite.copier().copy(*node, {.inputs = std::move(inputs), .device = device_of(*node)});
    for (int i = 0; i < node->output_count(); ++i) {
      for (const Node* user : users.of(node->output(i))) {
        const std::string& device = device_of(*user);
        if (device == device_of(*node)) continue;
        auto& made = copies[{node.get(), device}];
        made.resize(static_cast<size_t>(node->output_count()));
        Value& copied = made[static_cast<size_t>(i)];
        if (copied.defined()) continue;
        Node& copy = rewrite.to().add("Copy", {placed.output(i)}, {}, copy_name(*node, device));
        copy.set_device(device);
        copied = copy.output();
      }
    }
  }
  return rewrite.finish();
}

std::string placement_log(const Program& program) {
  std::string text;
  for (const auto& node : program.graph->nodes()) {
    text += node->name() + " (" + node->op().name +
            "): " + (node->device().empty() ? "not placed" : node->device()) + "\n";
  }
  return text;
}

}  // namespace trireme
