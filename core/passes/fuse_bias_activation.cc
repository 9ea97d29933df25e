#include "core/passes/fuse_bias_activation.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/graph/verify.h"

namespace trireme {
namespace {

// The name that the fused ops have for `op`; empty when it is no activation.
std::string activation_name(const Node& node) {
  const std::string& op = node.op().name;
  if (op == "Relu") return "relu";
  if (op == "Sigmoid") return "sigmoid";
  if (op == "Tanh") return "tanh";
  return "";
}

struct Group {
  const Node* product;
  const Node* bias_add;
  Value bias;
  const Node* activation;  // null: none
};

class Finder {
 public:
  explicit Finder(const ProgramRewrite& rewrite)
      : rewrite_(rewrite), users_(*rewrite.from().graph) {
    after_update_.resize(rewrite.nodes().size());
    for (const auto& node : rewrite.nodes()) {
      const auto late = [&](const Node* before) {
        return is_update(*before) || after_update_[static_cast<size_t>(before->id())];
      };
      const bool is_late =
          std::ranges::any_of(node->inputs(), [&](const Value& v) { return late(v.node); }) ||
          std::ranges::any_of(node->control_inputs(), late);
      after_update_[static_cast<size_t>(node->id())] = is_late;
    }
  }

  std::optional<Group> find(Node& bias_add) const {
    const std::string& op = bias_add.op().name;
    if (op != "BiasAdd" && op != "Add") return std::nullopt;
    for (int side = 0; side < (op == "Add" ? 2 : 1); ++side) {
      const Value product = bias_add.input(side), bias = bias_add.input(1 - side);
      if (!is_product(*product.node) || !only_seen_by(product, bias_add)) continue;
      if (!is_bias(bias, product.shape())) continue;
      // The product could run before an update that the bias waits for; fused, it would have to
      // wait as well, and an update of the product's own variables would then wait for itself.
      if (after_update_[static_cast<size_t>(bias.node->id())]) continue;
      Group group{product.node, &bias_add, bias, nullptr};
      const auto& users = users_.of(bias_add.output());
      if (users.size() == 1 && !activation_name(*users[0]).empty() &&
          only_seen_by(bias_add.output(), *users[0]) && !users_.has_control_edges(*users[0])) {
        group.activation = users[0];
      }
      if (group.activation == nullptr && users_.has_control_edges(bias_add)) continue;
      return group;
    }
    return std::nullopt;
  }

 private:
  static bool is_product(const Node& node) {
    return node.op().name == "MatMul" || node.op().name == "Conv2d";
  }

  // A vector as long as the last axis; a longer or shorter one would broadcast.
  static bool is_bias(const Value& bias, const Shape& shape) {
    return bias.shape().rank() == 1 && shape.rank() >= 1 && bias.shape()[0] >= 0 &&
           bias.shape()[0] == shape.dim(-1);
  }

  bool only_seen_by(const Value& value, const Node& user) const {
    return users_.of(value).size() == 1 && !rewrite_.is_root(*value.node) &&
           !users_.has_control_edges(*value.node) && value.node->device() == user.device();
  }

  const ProgramRewrite& rewrite_;
  Users users_;
  std::vector<bool> after_update_;
};

void build(const Group& group, ProgramRewrite& rewrite) {
  GraphCopier& copier = rewrite.copier();
  const Node& last = group.activation != nullptr ? *group.activation : *group.bias_add;
  Attributes attributes = group.product->attributes();
  attributes.set("activation",
                 group.activation != nullptr ? activation_name(*group.activation) : "none");
  copier.copy(last, {.op = "Fused" + group.product->op().name,
                     .inputs = {{copier.map(group.product->input(0)),
                                 copier.map(group.product->input(1)), copier.map(group.bias)}},
                     .attributes = std::move(attributes)});
}

}  // namespace

Program fuse_bias_activation(Program program) {
  ProgramRewrite rewrite(std::move(program));
  const Finder finder(rewrite);
  std::unordered_map<const Node*, Group> group_at;  // by the group's last node
  std::unordered_set<const Node*> inner;            // the others
  for (const auto& node : rewrite.nodes()) {
    const std::optional<Group> group = finder.find(*node);
    if (!group) continue;
    inner.insert(group->product);
    if (group->activation != nullptr) inner.insert(group->bias_add);
    group_at.emplace(group->activation != nullptr ? group->activation : group->bias_add, *group);
  }
  for (const auto& node : rewrite.nodes()) {
    if (auto it = group_at.find(node.get()); it != group_at.end()) {
      build(it->second, rewrite);
    } else if (!inner.contains(node.get())) {
      rewrite.copier().copy(*node);
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
