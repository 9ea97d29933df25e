#include "core/graph/verify.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "core/base/error.h"

namespace trireme {
namespace {

std::string label(const Node& node) { return node.op().name + " '" + node.name() + "'"; }

template <typename... Parts>
void require(bool condition, const Node& node, const Parts&... rule) {
  if (!condition) throw invalid_argument(label(node), ": ", rule...);
}

bool belongs(const Graph& graph, const Node* node) {
  return node != nullptr && &node->graph() == &graph && node->id() >= 0 &&
         node->id() < graph.size() && graph.nodes()[static_cast<size_t>(node->id())].get() == node;
}

void verify_inputs(const Graph& graph, const Node& node) {
  const OpDef& op = node.op();
  const int count = static_cast<int>(node.inputs().size());
  require(count >= op.min_inputs && (op.max_inputs < 0 || count <= op.max_inputs), node, "takes ",
          op.min_inputs, " to ", op.max_inputs, " inputs, has ", count);
  for (int i = 0; i < count; ++i) {
    const Value input = node.input(i);
    require(belongs(graph, input.node), node, "input ", i, " must be a node of this graph");
    require(input.node->id() < node.id(), node, "input ", i, " ('", input.node->name(),
            "') must be added before the node that uses it");
    require(input.index >= 0 && input.index < input.node->output_count(), node, "input ", i,
            " is output ", input.index, " of ", label(*input.node), ", which has ",
            input.node->output_count());
  }
  for (const Node* control : node.control_inputs()) {
    require(belongs(graph, control), node, "every control input must be a node of this graph");
  }
}

void verify_types(const Node& node) {
  std::vector<TensorType> inputs;
  for (const Value& input : node.inputs()) inputs.push_back(input.type());
  Attributes attributes = node.attributes();
  node.graph().ops()->complete(node.op(), node.name(), attributes);
  const std::vector<TensorType> inferred =
      InferenceContext(node.op(), node.name(), std::move(inputs), node.attributes()).infer();
  require(static_cast<int>(inferred.size()) == node.output_count(), node, "has ",
          node.output_count(), " outputs, its shape rule infers ", inferred.size());
  for (int i = 0; i < node.output_count(); ++i) {
    const TensorType& expected = inferred[static_cast<size_t>(i)];
    require(node.output_type(i) == expected, node, "output ", i, " is ", node.output_type(i),
            ", its shape rule infers ", expected);
  }
}

// Two Variable nodes of one name on one device are one variable.
std::string variable_key(const Node& variable) {
  return variable.device() + '\n' + variable.attribute<std::string>("name");
}

// Of what updatable() gives.
std::string memory_key(Value value) {
  if (is_variable(*value.node)) return variable_key(*value.node);
  return str_cat(value.node->id(), ":", value.index);
}

void verify_updates(const Node& node, std::unordered_map<std::string, const Node*>& updated_by) {
  for (int i : mutated_inputs(node)) {
    // Optional slots come last in an op's inputs and may be absent.
    if (i >= static_cast<int>(node.inputs().size())) continue;
    const std::optional<Value> value = updatable(node.input(i));
    require(value == node.input(i), node, "updates input ", i,
            " in place, so it must be a Variable; found ", label(*node.input(i).node));
    const auto [it, first] = updated_by.emplace(memory_key(*value), &node);
    require(first, node, "variable '", value->node->name(), "' is already updated by ",
            label(*it->second),
            "; a variable has one update at most, unless the next is of the value that the first "
            "gives");
  }
}

// Every node with `waiting` > 0 waits for another such node; following those leads round a cycle.
std::string describe_cycle(const Graph& graph, const std::vector<std::vector<int>>& after,
                           const std::vector<int>& waiting) {
  std::vector<int> waits_for(after.size(), -1);
  int start = -1;
  for (size_t i = 0; i < after.size(); ++i) {
    if (waiting[i] == 0) continue;
    for (int next : after[i]) waits_for[static_cast<size_t>(next)] = static_cast<int>(i);
  }
  for (size_t i = 0; i < after.size() && start < 0; ++i) {
    if (waiting[i] > 0) start = static_cast<int>(i);
  }
  std::vector<bool> seen(after.size());
  int node = start;
  for (; !seen[static_cast<size_t>(node)]; node = waits_for[static_cast<size_t>(node)]) {
    seen[static_cast<size_t>(node)] = true;
  }
  std::string text = label(*graph.nodes()[static_cast<size_t>(node)]);
  int current = node;
  do {
    current = waits_for[static_cast<size_t>(current)];
    text += " waits for " + label(*graph.nodes()[static_cast<size_t>(current)]);
  } while (current != node);
  return text;
}

}  // namespace

std::string DeviceName::to_string() const { return str_cat("/device:", kind, ":", index); }

std::optional<DeviceName> parse_device_name(std::string_view text) {
  constexpr std::string_view kPrefix = "/device:";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
  const std::string_view kind = text.substr(0, colon), digits = text.substr(colon + 1);
  const auto is_upper = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!std::ranges::all_of(kind, is_upper) || digits.empty() || digits.front() == '-') {
    return std::nullopt;
  }
  DeviceName device{std::string(kind), 0};
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), device.index);
  if (error != std::errc() || end != digits.end()) return std::nullopt;
  return device;
}

std::vector<int> mutated_inputs(const OpDef& op, const Attributes& attributes) {
  if (op.max_inputs >= 0 || !attributes.has("mutated")) return op.traits.mutated_inputs;
  std::vector<int> inputs(static_cast<size_t>(attributes.get<int64_t>("mutated")));
  std::iota(inputs.begin(), inputs.end(), 0);
  return inputs;
}

bool lends_shape(const Node& node, size_t i) {
  return std::ranges::find(node.op().traits.shape_inputs, static_cast<int>(i)) !=
         node.op().traits.shape_inputs.end();
}

const Node* variable_behind(Value value) {
  while (value.index == 0 && value.node->op().traits.is_view && !value.node->inputs().empty()) {
    value = value.node->input(0);
  }
  return is_variable(*value.node) ? value.node : nullptr;
}

std::optional<Value> updatable(Value value) {
  while (value.index == 0 && value.node->op().traits.is_view && !value.node->inputs().empty()) {
    value = value.node->input(0);
  }
  if (is_variable(*value.node)) return value;
  const bool is_new_value =
      is_update(*value.node) && value.index < static_cast<int>(mutated_inputs(*value.node).size());
  return is_new_value ? std::optional(value) : std::nullopt;
}

std::vector<bool> needed_nodes(const Graph& graph, std::span<const Node* const> roots,
                               bool data_only) {
  std::vector<bool> needed(graph.nodes().size());
  std::vector<const Node*> open;
  const auto need = [&](const Node* node) {
    const auto id = static_cast<size_t>(node->id());
    if (!needed[id]) open.push_back(node);
    needed[id] = true;
  };
  std::ranges::for_each(roots, need);
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Value& input : node->inputs()) need(input.node);
    if (!data_only) std::ranges::for_each(node->control_inputs(), need);
  }
  return needed;
}

std::vector<bool> needed_nodes(const Graph& graph, std::span<const Value> values, bool data_only) {
  std::vector<const Node*> roots;
  for (const Value& value : values) roots.push_back(value.node);
  return needed_nodes(graph, roots, data_only);
}

std::vector<std::vector<int>> successors(const Graph& graph) {
  std::vector<std::vector<int>> after(graph.nodes().size());
  std::unordered_map<std::string, std::vector<int>> readers;  // by what they read, if it changes
  for (const auto& node : graph.nodes()) {
    for (const Value& input : node->inputs()) {
      after[static_cast<size_t>(input.node->id())].push_back(node->id());
      if (const auto value = updatable(input)) {
        readers[memory_key(*value)].push_back(node->id());
      }
    }
    for (const Node* control : node->control_inputs()) {
      after[static_cast<size_t>(control->id())].push_back(node->id());
    }
  }
  for (const auto& node : graph.nodes()) {
    for (int i : mutated_inputs(*node)) {
      if (i >= static_cast<int>(node->inputs().size())) continue;
      const auto value = updatable(node->input(i));
      if (!value) continue;  // verify() says so
      for (int reader : readers[memory_key(*value)]) {
        if (reader != node->id()) after[static_cast<size_t>(reader)].push_back(node->id());
      }
    }
  }
  return after;
}

std::vector<Node*> execution_order(const Graph& graph) {
  const std::vector<std::vector<int>> after = successors(graph);
  std::vector<int> waiting(after.size());
  for (const auto& list : after) {
    for (int next : list) ++waiting[static_cast<size_t>(next)];
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<Node*> order;
  while (!ready.empty()) {
    const auto id = static_cast<size_t>(ready.top());
    ready.pop();
    order.push_back(graph.nodes()[id].get());
    for (int next : after[id]) {
      if (--waiting[static_cast<size_t>(next)] == 0) ready.push(next);
    }
  }
  if (order.size() < after.size()) {
    throw invalid_argument("nodes wait for each other: ", describe_cycle(graph, after, waiting),
                           "; readers of a variable run before its update, so what needs the new "
                           "value must use the update's output");
  }
  return order;
}

void verify(const Graph& graph) {
  std::unordered_map<std::string, const Node*> updated_by;
  for (const auto& node : graph.nodes()) {
    require(!node->name().empty(), *node, "every node needs a name");
    require(graph.find(node->name()) == node.get(), *node, "its name must be unique in the graph");
    verify_inputs(graph, *node);
    verify_types(*node);
    verify_updates(*node, updated_by);
    require(node->device().empty() || parse_device_name(node->device()), *node, "device '",
            node->device(), "' must read /device:KIND:INDEX, e.g. /device:CPU:0");
  }
  execution_order(graph);
}

}  // namespace trireme
