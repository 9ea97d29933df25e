#include "core/passes/fuse_elementwise.h"

#include <algorithm>
#include <optional>
#include <ranges>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/elementwise_chain.h"

namespace trireme {
namespace {

// A kernel takes so many addresses, and keeps so many values in registers.
constexpr size_t kMaxSteps = 64, kMaxInputs = 24, kMaxOutputs = 24;
// A smaller value that is broadcast is computed again for each element it goes to.
constexpr size_t kMaxBroadcastSteps = 6;

// A scalar that is known: a step of a chain, not an input.
struct KnownScalar {
  DType dtype;
  double value;
};

bool is_scalar_fill(const Node& node) {
  return node.op().name == "FillLike" && node.output_type().shape.rank() == 0;
}

// Also of a scalar that was copied to the chain's device. Nothing: it is not known, or no double
// holds it.
std::optional<KnownScalar> known_scalar(Value value) {
  while (value.node->op().traits.is_copy) value = value.node->input(0);
  if (value.shape().rank() != 0) return std::nullopt;
  if (is_scalar_fill(*value.node))
    return KnownScalar{value.dtype(), value.node->attribute<double>("value")};
  if (!is_constant(*value.node) || value.dtype() == DType::kString) return std::nullopt;
  const double number = value.node->attribute<Tensor>("value").as_double(0);
  const bool is_exact =
      value.dtype() != DType::kInt64 || std::abs(number) < static_cast<double>(int64_t{1} << 53);
  return is_exact ? std::optional(KnownScalar{value.dtype(), number}) : std::nullopt;
}

// Which nodes go into one chain. Groups are numbered by one of their members; a node that is in no
// chain is a group of its own.
class Groups {
 public:
  Groups(const ProgramRewrite& rewrite, const std::vector<std::string>& devices)
      : rewrite_(rewrite),
        devices_(devices.begin(), devices.end()),
        users_(*rewrite.from().graph),
        after_(successors(*rewrite.from().graph)),
        position_(after_.size()),
        place_(after_.size()),
        group_(after_.size()),
        members_(after_.size()),
        seen_(after_.size()) {
    for (const Node* node : rewrite.from().targets) kept_.insert(node);
    for (const Value& value : rewrite.from().fetches) fetched_.insert(value.node);
    const std::vector<Node*> nodes = execution_order(*rewrite.from().graph);
    for (const Node* node : nodes) {
      position_[at(*node)] = place_[at(*node)] = static_cast<int>(order_.size());
      group_[at(*node)] = node->id();
      members_[at(*node)] = {node->id()};
      order_.push_back(node->id());
    }
    // Backwards, so that what is needed late is computed late: a derivative that only the backward
    // pass reads joins that, and not the activation that it is computed from.
    for (Node* node : nodes | std::views::reverse) {
      if (!may_join(*node)) continue;
      for (const Value& input : node->inputs()) join_producer(*input.node, *node);
    }
    for (auto& members : members_) {
      std::ranges::sort(members, {}, [&](int id) { return position_[static_cast<size_t>(id)]; });
    }
  }

  // Every group once, each after the groups that it needs.
  std::vector<int> order() const {
    std::vector<int> groups = order_;
    std::erase(groups, kNone);
    return groups;
  }

  // In the order in which they run.
  const std::vector<int>& members(int group) const { return members_[static_cast<size_t>(group)]; }
  Node& node(int id) const { return *rewrite_.nodes()[static_cast<size_t>(id)]; }
  int group_of(const Node& node) const { return group_[at(node)]; }
  const Users& users() const { return users_; }
  bool seen_outside(Node& node) const {
    return fetched_.contains(&node) ||
           std::ranges::any_of(users_.of(node.output()),
                               [&](const Node* user) { return group_of(*user) != group_of(node); });
  }

 private:
  static size_t at(const Node& node) { return static_cast<size_t>(node.id()); }

  // Dimensions that are added or dropped between two elementwise ops are no hindrance: a view joins
  // what uses it, when what it is of may join too.
  void join_producer(Node& producer, const Node& user) {
    Node* root = &producer;
    while (root->op().traits.is_axis_view && is_free(*root)) root = root->input(0).node;
    if (!may_join(*root) && !known_scalar(root->output())) return;
    for (const Node* view = &producer; view != root; view = view->input(0).node) {
      // A view that others see costs nothing where it is.
      if (!may_broadcast(group_of(*view), group_of(user))) return;
      try_join(group_of(*view), group_of(user));
    }
    if (may_join(*root)) try_join(group_of(*root), group_of(user));
  }

  bool may_join(const Node& node) const {
    if (!node.op().traits.is_elementwise || node.output_count() != 1) return false;
    return is_free(node) && !is_scalar_fill(node);
  }

  // Nobody minds when the node is gone.
  bool is_free(const Node& node) const {
    if (!devices_.contains(node.device()) || users_.has_control_edges(node)) return false;
    if (kept_.contains(&node) || rewrite_.is_fed(node) || !fits_chain(node.attributes()))
      return false;
    return std::ranges::none_of(node.inputs(),
                                [](const Value& input) { return input.dtype() == DType::kString; });
  }

  const Shape& shape(int group) const { return node(members(group)[0]).output_type().shape; }

  void try_join(int first, int second) {
    if (first == second || node(first).device() != node(second).device()) return;
    if (shape(first) != shape(second) && !may_broadcast(first, second)) return;
    if (!is_small_enough(first, second)) return;
    if (!move_together(first, second)) return;
    // What has the chain's shape comes first among the members: it tells the shape.
    auto& into = members_[static_cast<size_t>(second)];
    auto& from = members_[static_cast<size_t>(first)];
    for (int member : from) group_[static_cast<size_t>(member)] = second;
    into.insert(into.end(), from.begin(), from.end());
    from.clear();
  }

  // Nobody but `second` sees the values of `first`.
  bool may_broadcast(int first, int second) const {
    if (members(first).size() > kMaxBroadcastSteps) return false;
    return std::ranges::all_of(members(first), [&](int member) {
      Node& n = node(member);
      return !fetched_.contains(&n) &&
             std::ranges::all_of(users_.of(n.output()), [&](const Node* user) {
               return group_of(*user) == first || group_of(*user) == second;
             });
    });
  }

  bool is_small_enough(int first, int second) const {
    if (members(first).size() + members(second).size() > kMaxSteps) return false;
    std::unordered_set<Value, ValueHash> inputs;
    size_t outputs = 0;
    const auto inside = [&](const Node& n) {
      return group_of(n) == first || group_of(n) == second;
    };
    for (int group : {first, second}) {
      for (int member : members(group)) {
        Node& n = node(member);
        for (const Value& input : n.inputs()) {
          if (!inside(*input.node)) inputs.insert(input);
        }
        const bool seen = std::ranges::any_of(users_.of(n.output()),
                                              [&](const Node* user) { return !inside(*user); });
        outputs += seen || fetched_.contains(&n) ? 1 : 0;
      }
    }
    return inputs.size() <= kMaxInputs && outputs <= kMaxOutputs;
  }

  // Frees the place of `first`, which `second` uses, by moving what must run after it behind
  // `second`. False, and nothing has moved, when `second` itself needs something of that: the two
  // as one would wait for themselves. Ways go through whole groups, since a chain starts when all
  // its inputs are there.
  bool move_together(int first, int second) {
    const int begin = place(first), end = place(second);
    std::fill(seen_.begin() + begin, seen_.begin() + end, false);
    std::vector<int> open = {first};
    while (!open.empty()) {
      const int group = open.back();
      open.pop_back();
      for (int member : members(group)) {
        for (int next : after_[static_cast<size_t>(member)]) {
          const int other = group_[static_cast<size_t>(next)];
          if (other == second && group != first) return false;
          const int at = place(other);
          if (at <= begin || at >= end || seen_[static_cast<size_t>(at)]) continue;
          seen_[static_cast<size_t>(at)] = true;
          open.push_back(other);
        }
      }
    }
    std::vector<int> late;
    int to = begin;
    const auto put = [&](int group) {
      order_[static_cast<size_t>(to)] = group;
      if (group != kNone) place_[static_cast<size_t>(group)] = to;
      ++to;
    };
    for (int at = begin + 1; at < end; ++at) {
      const int group = order_[static_cast<size_t>(at)];
      if (seen_[static_cast<size_t>(at)]) {
        late.push_back(group);
      } else {
        put(group);
      }
    }
    put(second);
    for (int group : late) put(group);
    put(kNone);
    return true;
  }
  int place(int group) const { return place_[static_cast<size_t>(group)]; }

  static constexpr int kNone = -1;

  const ProgramRewrite& rewrite_;
  const std::unordered_set<std::string> devices_;
  Users users_;
  const std::vector<std::vector<int>> after_;
  std::vector<int> position_;  // by node
  std::vector<int> order_;     // groups in an order in which they may run, and kNone
  std::vector<int> place_;     // by group, where it is in order_
  std::vector<int> group_;     // by node
  std::vector<std::vector<int>> members_;
  std::unordered_set<const Node*> kept_, fetched_;
  std::vector<bool> seen_;  // by place
};

// What a group is as a node. `inputs` are of the old graph.
struct FusedNode {
  Chain chain;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
};

class ChainBuilder {
 public:
  ChainBuilder(const Groups& groups, int group) : groups_(groups), group_(group) {}

  // False when the group is no chain: no input may stand first, or has_axes() is false.
  bool build(FusedNode& fused) {
    for (int member : groups_.members(group_)) {
      Node& node = groups_.node(member);
      if (groups_.seen_outside(node)) fused.outputs.push_back(node.output());
      for (const Value& input : node.inputs()) {
        const bool is_inside = groups_.group_of(*input.node) == group_;
        if (!is_inside && !known_scalar(input) &&
            std::ranges::find(fused.inputs, input) == fused.inputs.end()) {
          fused.inputs.push_back(input);
        }
      }
    }
    if (fused.inputs.empty() || fused.outputs.empty() || !put_first(fused)) return false;
    for (const Value& input : fused.inputs) {
      numbers_[input] = static_cast<int>(numbers_.size());
    }
    fused.chain.input_count = static_cast<int>(fused.inputs.size());
    for (int member : groups_.members(group_)) add(groups_.node(member), fused.chain);
    for (const Value& output : fused.outputs) fused.chain.outputs.push_back(numbers_.at(output));
    return has_axes(fused);
  }

 private:
  // Puts the input first whose memory output 0 may take over. With elements of one size, equal
  // bytes mean equal elements, so that each is read before its place is written; another size needs
  // another number of bytes.
  bool put_first(FusedNode& fused) const {
    const TensorType& output = fused.outputs[0].type();
    const auto rank = [&](const Value& input) {
      const bool same_size = size_of(input.dtype()) == size_of(output.dtype);
      const bool same_shape = input.shape() == output.shape;
      if (!same_size) return same_shape ? 1 : 0;
      const auto& users = groups_.users().of(input);
      const bool dies = std::ranges::all_of(
          users, [&](const Node* user) { return groups_.group_of(*user) == group_; });
      return same_shape && dies && !input.node->inputs().empty() ? 3 : 2;
    };
    const auto best = std::ranges::max_element(fused.inputs, {}, rank);
    if (rank(*best) == 0) return false;
    std::rotate(fused.inputs.begin(), best, best + 1);
    return true;
  }

  // No value is needed at two places at once, as x is in x + expand_dims(x).
  bool has_axes(const FusedNode& fused) const {
    std::vector<TensorType> inputs;
    for (const Value& input : fused.inputs) inputs.push_back(input.type());
    const OpTable& ops = *fused.inputs[0].graph().ops();
    try {
      chain_axes(fused.chain, chain_types(fused.chain, inputs, ops), ops);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  void add(Node& node, Chain& chain) {
    const auto next = [&] { return chain.input_count + static_cast<int>(chain.steps.size()); };
    Chain::Step step{.op = node.op().name, .inputs = {}, .attributes = node.attributes()};
    for (const Value& input : node.inputs()) {
      if (const auto it = numbers_.find(input); it != numbers_.end()) {
        step.inputs.push_back(it->second);
        continue;
      }
      const KnownScalar scalar = *known_scalar(input);
      numbers_[input] = next();
      step.inputs.push_back(next());
      chain.steps.push_back({.op = "Constant",
                             .inputs = {},
                             .attributes = {{"dtype", scalar.dtype}, {"value", scalar.value}}});
    }
    numbers_[node.output()] = next();
    chain.steps.push_back(std::move(step));
  }

  const Groups& groups_;
  int group_;
  std::unordered_map<Value, int, ValueHash> numbers_;
};

}  // namespace

Program fuse_elementwise(Program program, const std::vector<std::string>& devices) {
  ProgramRewrite rewrite(std::move(program));
  const Groups groups(rewrite, devices);
  for (int group : groups.order()) {
    const std::vector<int>& members = groups.members(group);
    FusedNode fused;
    if (members.size() < 2 || !ChainBuilder(groups, group).build(fused)) {
      for (int member : members) rewrite.copier().copy(groups.node(member));
      continue;
    }
    const Node& last = groups.node(members.back());
    Node& node = rewrite.to().add("FusedElementwise", rewrite.copier().map(fused.inputs),
                                  {{"chain", fused.chain.to_string()}}, last.name());
    node.set_device(last.device());
    for (size_t i = 0; i < fused.outputs.size(); ++i) {
      rewrite.copier().replace(fused.outputs[i], node.output(static_cast<int>(i)));
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
