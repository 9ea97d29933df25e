#include "core/runtime/plan_layout.h"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_set>

#include "core/base/error.h"
#include "core/graph/verify.h"

namespace trireme {

std::vector<Node*> issue_order(const Program& program) {
  std::vector<const Node*> roots(program.targets.begin(), program.targets.end());
  for (const Value& fetch : program.fetches) roots.push_back(fetch.node);
  const std::vector<bool> needed = needed_nodes(*program.graph, roots);
  std::vector<Node*> nodes;
  for (const auto& node : program.graph->nodes()) {
    if (needed[static_cast<size_t>(node->id())]) nodes.push_back(node.get());
  }
  std::unordered_map<Node*, std::vector<Node*>> successors;
  std::unordered_map<Node*, int> pending;
  auto add_edge = [&](Node* before, Node* after) {
    if (before == after) return;
    successors[before].push_back(after);
    ++pending[after];
  };
  std::unordered_map<Value, std::vector<Node*>, ValueHash> readers;  // by what they read
  for (Node* node : nodes) {
    for (const Value& input : node->inputs()) {
      add_edge(input.node, node);
      if (const auto value = updatable(input)) readers[*value].push_back(node);
    }
    for (Node* control : node->control_inputs()) add_edge(control, node);
  }
  for (Node* node : nodes) {
    for (int index : mutated_inputs(*node)) {
      const auto value = updatable(node->input(index));
      TRIREME_CHECK(value.has_value(), "input ", index, " of '", node->name(), "' is no variable");
      for (Node* reader : readers[*value]) add_edge(reader, node);
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
    if (is_placeholder(*node)) return std::pair(-1, key);
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
    if (is_placeholder(*node)) {
      throw invalid_argument("placeholder '", node->name(), "' (", node->output_type(),
                             ") is needed but not fed");
    }
    std::vector<TensorType> inputs;
    for (const Value& input : node->inputs()) {
      inputs.push_back(types.at(input.node)[static_cast<size_t>(input.index)]);
    }
    std::vector<TensorType> outputs =
        InferenceContext(node->op(), node->name(), std::move(inputs), node->attributes()).infer();
    for (const TensorType& output : outputs) {
      if (output.shape.is_known()) continue;
      throw invalid_argument(node->op().name, " '", node->name(),
                             "': expected shapes that follow from the fed tensors, found ", output);
    }
    types[node] = std::move(outputs);
  }
  return types;
}

namespace {

// Free stretches of one device's arena, of which the smallest that is large enough is taken.
class FreeSpace {
 public:
  size_t allocate(size_t bytes) {
    const auto found = by_size_.lower_bound({bytes, 0});
    if (found != by_size_.end()) {
      const auto [size, offset] = *found;
      remove(offset, size);
      if (size > bytes) insert(offset + bytes, size - bytes);
      return offset;
    }
    size_t offset = end_;
    if (!by_offset_.empty()) {
      const auto [last, size] = *by_offset_.rbegin();
      if (last + size == end_) {  // too small, but it can grow
        offset = last;
        remove(last, size);
      }
    }
    end_ = offset + bytes;
    return offset;
  }

  void free(size_t offset, size_t bytes) {
    if (bytes == 0) return;
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin()) {
      const auto [before, size] = *std::prev(next);
      if (before + size == offset) {
        remove(before, size);
        offset = before;
        bytes += size;
      }
    }
    next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + bytes) {
      const auto [after, size] = *next;
      remove(after, size);
      bytes += size;
    }
    insert(offset, bytes);
  }

  size_t end() const { return end_; }

 private:
  void insert(size_t offset, size_t size) {
    by_offset_[offset] = size;
    by_size_.insert({size, offset});
  }
  void remove(size_t offset, size_t size) {
    by_offset_.erase(offset);
    by_size_.erase({size, offset});
  }
  std::map<size_t, size_t> by_offset_;
  std::set<std::pair<size_t, size_t>> by_size_;
  size_t end_ = 0;
};

// In the order in which storages are made; one is free again for whoever comes from the instruction
// on that, like all behind it, starts when its last uses are known to be done. A little more memory
// than by size, but the time grows with the number of storages and not with its square.
void assign_by_time(const std::vector<Storage*>& arena, const Clocks& clocks,
                    std::vector<size_t>& totals) {
  // What every instruction from t on knows to be done, by stream.
  Clocks known = clocks;
  for (size_t t = known.size(); t-- > 1;) {
    for (size_t s = 0; s < known[t].size(); ++s) {
      known[t - 1][s] = std::min(known[t - 1][s], known[t][s]);
    }
  }
  const auto free_from = [&](const Storage& storage) {
    size_t from = 0;
    for (size_t s = 0; s < storage.last_by_stream.size(); ++s) {
      const auto at = std::ranges::partition_point(
          known, [&](const auto& clock) { return clock[s] < storage.last_by_stream[s]; });
      from = std::max(from, static_cast<size_t>(at - known.begin()));
    }
    return from;
  };
  const auto made_at = [](const Storage* storage) {
    return storage->makers.empty() ? storage->first : std::ranges::min(storage->makers);
  };
  std::vector<Storage*> by_time = arena;
  std::ranges::stable_sort(by_time, {}, made_at);
  using Release = std::pair<size_t, Storage*>;
  const auto later = [](const Release& a, const Release& b) { return a.first > b.first; };
  std::priority_queue<Release, std::vector<Release>, decltype(later)> releases(later);
  std::vector<FreeSpace> spaces(totals.size());
  for (Storage* storage : by_time) {
    while (!releases.empty() && static_cast<int>(releases.top().first) <= made_at(storage)) {
      const Storage* dead = releases.top().second;
      releases.pop();
      spaces[dead->device].free(dead->offset, align_up(dead->bytes));
    }
    storage->offset = spaces[storage->device].allocate(align_up(storage->bytes));
    if (!storage->lives_to_end) releases.emplace(free_from(*storage), storage);
  }
  for (size_t device = 0; device < totals.size(); ++device) totals[device] = spaces[device].end();
}

}  // namespace

std::vector<size_t> assign_offsets(std::vector<Storage>& storages, const Clocks& clocks,
                                   size_t device_count) {
  constexpr size_t kManyStorages = 8192;
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
  std::vector<size_t> totals(device_count, 0);
  if (by_size.size() > kManyStorages) {
    assign_by_time(by_size, clocks, totals);
    by_size.clear();
  }
  std::ranges::stable_sort(by_size, [](auto* a, auto* b) { return a->bytes > b->bytes; });
  std::vector<Storage*> placed;
  for (Storage* storage : by_size) {
    const size_t bytes = align_up(storage->bytes);
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
      offset = std::max(offset, align_up(end));
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
