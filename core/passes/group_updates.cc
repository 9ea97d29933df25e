#include "core/passes/group_updates.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/grouped_update.h"

namespace trireme {
namespace {

using Group = std::vector<const Node*>;

// For each node, by id, the last communication that it waits for; −1: none.
std::vector<int> last_communication(const Graph& graph) {
  std::vector<int> last(graph.nodes().size(), -1);
  for (const auto& node : graph.nodes()) {
    int& mine = last[static_cast<size_t>(node->id())];
    const auto wait_for = [&](const Node& before) {
      const bool communicates = before.op().traits.is_communication;
      mine = std::max(mine, communicates ? before.id() : last[static_cast<size_t>(before.id())]);
    };
    for (const Value& input : node->inputs()) wait_for(*input.node);
    for (const Node* before : node->control_inputs()) {
      if (before->id() < node->id()) wait_for(*before);
    }
  }
  return last;
}

class Grouper {
 public:
  Grouper(const ProgramRewrite& rewrite, const std::vector<std::string>& devices)
      : rewrite_(rewrite), devices_(devices), users_(*rewrite.from().graph) {}

  std::vector<Group> groups(size_t max_gradient_bytes) const {
    // A variable that others share, such as the step, must be changed after all that read it.
    std::unordered_set<const Node*> shared_variables;
    Group candidates;
    for (const auto& node : rewrite_.nodes()) {
      if (!can_group(*node)) continue;
      candidates.push_back(node.get());
      const int own = ops::dense_update(node->op())->own();
      for (int i = own; i < static_cast<int>(node->inputs().size()); ++i) {
        shared_variables.insert(variable_behind(node->input(i)));
      }
    }
    const auto changes_shared = [&](const Node* node) {
      const std::vector<int> mutated = mutated_inputs(*node);
      return std::ranges::any_of(mutated, [&](int input) {
        return shared_variables.contains(variable_behind(node->input(input)));
      });
    };
    std::erase_if(candidates, changes_shared);

    // As gradients are made.
    std::ranges::stable_sort(candidates, {}, [](const Node* node) {
      return node->input(ops::dense_update(node->op())->gradient_input()).node->id();
    });
    const std::vector<int> communication = last_communication(*rewrite_.from().graph);
    std::map<std::string, Group> open;
    std::map<std::string, size_t> bytes;
    std::vector<Group> groups;
    const auto close = [&](Group& group) {
      if (group.size() > 1) groups.push_back(std::move(group));
      group.clear();
    };
    for (const Node* node : candidates) {
      const std::string key = key_of(*node, communication);
      Group& group = open[key];
      group.push_back(node);
      bytes[key] += node->output_type().bytes();
      if (bytes[key] < max_gradient_bytes) continue;
      close(group);
      bytes[key] = 0;
    }
    for (auto& [key, group] : open) close(group);
    return groups;
  }

  // The Cast of a gradient that can be left out, or null.
  const Node* cast_of_gradient(const Node& node) const {
    const Value gradient = node.input(ops::dense_update(node.op())->gradient_input());
    const Node& cast = *gradient.node;
    if (cast.op().name != "Cast" || gradient.dtype() != DType::kFloat32) return nullptr;
    const Value small = cast.input(0);
    if (small.dtype() != DType::kFloat16 && small.dtype() != DType::kBFloat16) return nullptr;
    const bool is_ours = users_.of(gradient).size() == 1 && !rewrite_.is_root(cast) &&
                         !users_.has_control_edges(cast) && cast.device() == node.device() &&
                         variable_behind(small) == nullptr;
    return is_ours ? &cast : nullptr;
  }

 private:
  bool can_group(const Node& node) const {
    const UpdateFacts* const update = ops::dense_update(node.op());
    if (update == nullptr || std::ranges::find(devices_, node.device()) == devices_.end())
      return false;
    if (!users_.of({const_cast<Node*>(&node), 0}).empty() || users_.has_control_edges(node)) {
      return false;
    }
    return node.output_type().shape.is_known() &&
           variable_behind(node.input(update->gradient_input())) == nullptr;
  }

  static std::string key_of(const Node& node, const std::vector<int>& communication) {
    const UpdateFacts& update = *ops::dense_update(node.op());
    const Value gradient = node.input(update.gradient_input());
    std::string key = str_cat(node.op().name, "\n", node.attributes().to_string(), "\n",
                              node.device(), "\n", name(node.output_type().dtype), "\n",
                              communication[static_cast<size_t>(node.id())]);
    for (int i = update.own(); i < static_cast<int>(node.inputs().size()); ++i) {
      if (node.input(i) == gradient) continue;
      key += str_cat("\n", node.input(i).node->id(), ":", node.input(i).index);
    }
    return key;
  }

  const ProgramRewrite& rewrite_;
  const std::vector<std::string>& devices_;
  Users users_;
};

}  // namespace

Program group_updates(Program program, const std::vector<std::string>& devices,
                      size_t max_gradient_bytes) {
  ProgramRewrite rewrite(std::move(program));
  const Grouper grouper(rewrite, devices);
  const std::vector<Group> groups = grouper.groups(max_gradient_bytes);
  if (groups.empty()) {
    rewrite.copier().copy_rest();
    return rewrite.finish();
  }
  std::unordered_set<const Node*> gone;                   // members and their casts
  std::unordered_map<const Node*, const Group*> made_at;  // by the member that is last in the graph
  for (const Group& group : groups) {
    const Node* last = group.front();
    for (const Node* node : group) {
      if (node->id() > last->id()) last = node;
      gone.insert(node);
      if (const Node* cast = grouper.cast_of_gradient(*node)) gone.insert(cast);
    }
    made_at[last] = &group;
  }
  GraphCopier& copier = rewrite.copier();
  for (const auto& node : rewrite.nodes()) {
    if (!gone.contains(node.get())) {
      copier.copy(*node);
      continue;
    }
    const auto it = made_at.find(node.get());
    if (it == made_at.end()) continue;
    const Group& group = *it->second;
    const OpDef& op = group.front()->op();
    const auto gradient = static_cast<size_t>(ops::dense_update(op)->gradient_input());
    std::vector<std::vector<Value>> updates;
    for (const Node* member : group) {
      std::vector<Value> inputs = member->inputs();
      if (const Node* cast = grouper.cast_of_gradient(*member)) inputs[gradient] = cast->input(0);
      updates.push_back(copier.map(inputs));
    }
    Node& grouped =
        ops::grouped_update(rewrite.to(), op, group.front()->attributes(), updates,
                            str_cat(group.front()->name(), "_and_", group.size() - 1, "_more"));
    grouped.set_device(node->device());
    for (size_t i = 0; i < group.size(); ++i) {
      copier.replace(*group[i], grouped);
      copier.replace(Value{const_cast<Node*>(group[i]), 0}, grouped.output(static_cast<int>(i)));
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
