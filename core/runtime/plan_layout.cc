#include "core/runtime/plan_layout.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <unordered_set>

#include "core/base/error.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

std::unordered_set<Node*> needed_nodes(const Program& program) {
  std::unordered_set<Node*> needed;
  std::vector<Node*> stack(program.targets.begin(), program.targets.end());
  for (const Value& fetch : program.fetches) stack.push_back(fetch.node);
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    if (!needed.insert(node).second) continue;
    for (const Value& input : node->inputs()) stack.push_back(input.node);
    for (Node* control : node->control_inputs()) stack.push_back(control);
  }
  return needed;
}

}  // namespace

std::vector<Node*> issue_order(const Program& program) {
  const auto needed = needed_nodes(program);
  std::vector<Node*> nodes;
  for (const auto& node : program.graph->nodes()) {
    if (needed.contains(node.get())) nodes.push_back(node.get());
  }
  std::unordered_map<Node*, std::vector<Node*>> successors;
  std::unordered_map<Node*, int> pending;
  auto add_edge = [&](Node* before, Node* after) {
    if (before == after) return;
    successors[before].push_back(after);
    ++pending[after];
  };
  std::unordered_map<const Node*, std::vector<Node*>> readers;  // by variable
  for (Node* node : nodes) {
    for (const Value& input : node->inputs()) {
      add_edge(input.node, node);
      if (const Node* variable = variable_behind(input)) readers[variable].push_back(node);
    }
    for (Node* control : node->control_inputs()) add_edge(control, node);
  }
  for (Node* node : nodes) {
    for (int index : mutated_inputs(*node)) {
      const Node* variable = variable_behind(node->input(index));
      TRIREME_CHECK(variable != nullptr, "input ", index, " of '", node->name(),
                    "' is no variable");
      for (Node* reader : readers[variable]) add_edge(reader, node);
    }
  }

  // The members of one collective, of several devices: a host that waited for one of them before it
  // has issued the others would wait for ever.
  std::unordered_map<std::string, std::vector<Node*>> collectives;
  for (Node* node : nodes) {
    if (node->op().traits.is_communication && node->attributes().has("collective")) {
      collectives[node->attribute<std::string>("collective")].push_back(node);
    }
  }
  std::unordered_map<const Node*, int> group;  // of a member: the first member's id
  for (const auto& [name, members] : collectives) {
    std::unordered_set<Node*> users, before;
    for (Node* member : members) {
      group[member] = members.front()->id();
      users.insert(successors[member].begin(), successors[member].end());
      for (const Value& input : member->inputs()) before.insert(input.node);
      before.insert(member->control_inputs().begin(), member->control_inputs().end());
    }
    for (Node* user : users) {
      for (Node* member : members) {
        if (std::ranges::find(members, user) == members.end()) add_edge(member, user);
      }
    }
    // They are ready together, so that they come one right after the other.
    for (Node* node : before) {
      for (Node* member : members) {
        if (std::ranges::find(members, node) == members.end()) add_edge(node, member);
      }
    }
  }

  // Nodes are made after their inputs, so one pass in order finds who waits for communication.
  std::unordered_set<const Node*> waits;
  for (Node* node : nodes) {
    auto communicates = [&](const Node* before) {
      return before->op().traits.is_communication || waits.contains(before);
    };
    if (std::ranges::any_of(node->inputs(), [&](Value v) { return communicates(v.node); }) ||
        std::ranges::any_of(node->control_inputs(), communicates)) {
      waits.insert(node);
    }
  }

  // Updates and communication first, because both free what others wait for; else as the graph was
  // built.
  // What is fed comes before everything: its copies stand outside of what a device records.
  auto rank = [&](const Node* node) {
    const auto it = group.find(node);
    const auto key = std::tuple(it == group.end() ? node->id() : it->second, node->id());
    if (node->op().name == "Placeholder") return std::pair(-1, key);
    if (node->op().traits.is_communication) return std::pair(0, key);
    if (!is_update(*node)) return std::pair(1, key);
    return std::pair(waits.contains(node) ? 2 : 0, key);
  };
  auto later = [&](const Node* a, const Node* b) { return rank(a) > rank(b); };
  std::priority_queue<Node*, std::vector<Node*>, decltype(later)> ready(later);
  for (Node* node : nodes) {
    if (pending[node] == 0) ready.push(node);
  }
  std::vector<Node*> order;
  while (!ready.empty()) {
    Node* node = ready.top();
    ready.pop();
    order.push_back(node);
    for (Node* next : successors[node]) {
      if (--pending[next] == 0) ready.push(next);
    }
  }
  if (order.size() != nodes.size()) {
    std::string stuck;
    for (Node* node : nodes) {
      if (pending[node] > 0) stuck += (stuck.empty() ? "'" : ", '") + node->name() + "'";
    }
    throw invalid_argument(
        "these nodes wait for each other, because a variable would have to be read after it is "
        "updated: ",
        stuck);
  }
  return order;
}

NodeTypes infer_types(const Program& program, const std::vector<Node*>& order,
                      const std::vector<TensorType>& feed_types) {
  NodeTypes types;
  for (size_t i = 0; i < program.feeds.size(); ++i) {
    types[program.feeds[i].node] = {feed_types[i]};
  }
  for (Node* node : order) {
    if (types.contains(node)) continue;
    if (node->op().name == "Placeholder") {
      throw invalid_argument("placeholder '", node->name(), "' (", node->output_type(),
                             ") is needed but not fed");
    }
    std::vector<TensorType> inputs;
    for (const Value& input : node->inputs()) {
      inputs.push_back(types.at(input.node)[static_cast<size_t>(input.index)]);
    }
    const InferenceContext context(node->op(), node->name(), std::move(inputs), node->attributes());
    std::vector<TensorType> outputs;
    try {
      outputs = node->op().infer(context);
    } catch (const Error& error) {
      if (std::string_view(error.what()).starts_with(node->op().name)) throw;
      context.require(false, error.what());
    }
    for (const TensorType& output : outputs) {
      context.require(output.shape.is_known(), "shapes that follow from the fed tensors");
    }
    types[node] = std::move(outputs);
  }
  return types;
}

std::vector<size_t> assign_offsets(std::vector<Storage>& storages, const Clocks& clocks,
                                   size_t device_count) {
  // a is dead before b is made: each stream has passed its last use of a when b's maker starts.
  auto precedes = [&](const Storage& a, const Storage& b) {
    if (a.lives_to_end) return false;
    const auto made_after = [&](int maker) {
      const auto& clock = clocks[static_cast<size_t>(maker)];
      for (size_t stream = 0; stream < clock.size(); ++stream) {
        if (a.last_by_stream[stream] > clock[stream]) return false;
      }
      return true;
    };
    return b.makers.empty() ? made_after(b.first) : std::ranges::all_of(b.makers, made_after);
  };
  // A pack lives from the first of its members to the last use of any.
  for (Storage& member : storages) {
    if (member.pack == SIZE_MAX) continue;
    Storage& pack = storages[member.pack];
    pack.makers.push_back(member.first);
    pack.lives_to_end |= member.lives_to_end;
    for (size_t s = 0; s < pack.last_by_stream.size(); ++s) {
      pack.last_by_stream[s] = std::max(pack.last_by_stream[s], member.last_by_stream[s]);
    }
  }
  std::vector<Storage*> by_size;
  for (Storage& storage : storages) {
    if (storage.kind == Location::Kind::kArena && storage.pack == SIZE_MAX) {
      by_size.push_back(&storage);
    }
  }
  std::ranges::stable_sort(by_size, [](auto* a, auto* b) { return a->bytes > b->bytes; });

  std::vector<size_t> totals(device_count, 0);
  std::vector<Storage*> placed;
  for (Storage* storage : by_size) {
    const size_t bytes = (storage->bytes + kAlignment - 1) / kAlignment * kAlignment;
    std::vector<std::pair<size_t, size_t>> taken;
    for (Storage* other : placed) {
      if (other->device == storage->device && !precedes(*other, *storage) &&
          !precedes(*storage, *other)) {
        taken.emplace_back(other->offset, other->offset + other->bytes);
      }
    }
    std::ranges::sort(taken);
    size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + bytes <= begin) break;
      offset = std::max(offset, (end + kAlignment - 1) / kAlignment * kAlignment);
    }
    storage->offset = offset;
    totals[storage->device] = std::max(totals[storage->device], offset + bytes);
    placed.push_back(storage);
  }
  for (Storage& member : storages) {
    if (member.pack != SIZE_MAX) {
      member.offset = storages[member.pack].offset + member.offset_in_pack;
    }
  }
  return totals;
}

}  // namespace trireme
