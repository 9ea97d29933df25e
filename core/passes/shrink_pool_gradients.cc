#include "core/passes/shrink_pool_gradients.h"

#include <algorithm>
#include <unordered_set>

#include "core/graph/attributes.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

// Where the positions that `pool_grad` reads were found, if they are those of the maxima of `y`;
// else null.
Node* max_pool_of(const Value& y, const Node& pool_grad) {
  const Value positions = pool_grad.input(1);
  Node& pool = *positions.node;
  const bool fits = pool.op().name == "MaxPool2d" && positions.index == 1 && pool.input(0) == y &&
                    pool.attributes().to_string() == pool_grad.attributes().to_string();
  return fits ? &pool : nullptr;
}

class Finder {
 public:
  explicit Finder(const ProgramRewrite& rewrite)
      : rewrite_(rewrite), users_(*rewrite.from().graph) {}

  bool relu_moves(const Node& node) const {
    if (node.op().name != "ReluGrad") return false;
    const Node& pool_grad = *node.input(0).node;
    if (pool_grad.op().name != "MaxPool2dGrad") return false;
    // Who else wants it would need it without the relu's share.
    if (users_.of(node.input(0)).size() != 1 || rewrite_.is_root(pool_grad)) return false;
    if (users_.has_control_edges(pool_grad) || users_.has_control_edges(node)) return false;
    const Node* pool = max_pool_of(node.input(1), pool_grad);
    return pool != nullptr && !rewrite_.is_fed(*pool) && pool->device() == node.device() &&
           pool_grad.device() == node.device();
  }

 private:
  const ProgramRewrite& rewrite_;
  Users users_;
};

bool is_pool_grad(const Node& node) {
  return node.op().name == "MaxPool2dGrad" || node.op().name == "AvgPool2dGrad";
}

// Whether `node` adds up whole images, so that it does not matter where in an image a number is.
bool sums_images(const Node& node) {
  if (node.op().name != "Sum") return false;
  const Ints& axes = node.attribute<Ints>("axes");
  return std::ranges::count_if(axes, [](int64_t axis) { return axis == 1 || axis == 2; }) == 2;
}

}  // namespace

Program shrink_pool_gradients(Program program) {
  ProgramRewrite rewrite(std::move(program));
  const Finder finder(rewrite);
  std::unordered_set<const Node*> moved, replaced;
  for (const auto& node : rewrite.nodes()) {
    if (!finder.relu_moves(*node)) continue;
    moved.insert(node.get());
    replaced.insert(node->input(0).node);
  }
  GraphCopier& copier = rewrite.copier();
  for (const auto& node : rewrite.nodes()) {
    if (replaced.contains(node.get())) continue;
    if (moved.contains(node.get())) {
      const Node& pool_grad = *node->input(0).node;
      const Value pooled = max_pool_of(node->input(1), pool_grad)->output(0);
      Node& relu =
          rewrite.to().add("ReluGrad", {copier.map(pool_grad.input(0)), copier.map(pooled)},
                           node->attributes(), pool_grad.name());
      relu.set_device(node->device());
      copier.copy(*node, {.op = "MaxPool2dGrad",
                          .inputs = {{relu.output(), copier.map(pool_grad.input(1)),
                                      copier.map(pool_grad.input(2))}},
                          .attributes = pool_grad.attributes()});
    } else if (sums_images(*node)) {
      const Value summed = copier.map(node->input(0));
      // A variable must not gain a reader: there may be a reason why its update comes before this.
      const bool shrinks = is_pool_grad(*summed.node) && !rewrite.is_fed(*node->input(0).node) &&
                           variable_behind(summed.node->input(0)) == nullptr;
      copier.copy(*node, {.inputs = {{shrinks ? summed.node->input(0) : summed}}});
    } else {
      copier.copy(*node);
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
