#include "core/passes/fuse_gradient_update.h"

#include <unordered_set>

#include "core/graph/verify.h"
#include "core/rules/update_rule.h"

namespace trireme {
namespace {

bool is_plain_descent(const Node& node) {
  const std::optional<UpdateFacts>& update = node.op().update;
  return update && !update->is_sparse && !update->is_guarded && update->own() == 1 &&
         update->gradient_input() == 2 && update->rule->is_plain_descent(node.attributes());
}

bool is_product(const Node& node, const HasKernel& has_kernel) {
  if (node.op().name == "MatMul") return true;
  return node.op().name == "WideMatMul" && has_kernel &&
         has_kernel("FusedMatMulApplySgd", node.input(0).dtype());
}

bool can_fuse(const Node& apply, const ProgramRewrite& rewrite, const Users& users,
              const HasKernel& has_kernel) {
  const Value variable = apply.input(0), gradient = apply.input(2);
  const Node& product = *gradient.node;
  if (!is_product(product, has_kernel) || variable.shape().rank() != 2) return false;
  if (variable.dtype() != DType::kFloat32 && variable.dtype() != DType::kFloat64) return false;
  if (users.of(gradient).size() != 1 || rewrite.is_root(product)) return false;
  if (users.has_control_edges(product) || product.device() != apply.device()) return false;
  for (const Value& factor : product.inputs()) {
    if (factor.shape().rank() != 2) return false;
    // The product would read a variable at the time of an update: its own, which is being written
    // then, or another's, whose update may itself have to wait for this one.
    if (variable_behind(factor) != nullptr) return false;
  }
  return true;
}

}  // namespace

Program fuse_gradient_update(Program program, const HasKernel& has_kernel) {
  ProgramRewrite rewrite(std::move(program));
  const Users users(*rewrite.from().graph);
  std::unordered_set<const Node*> fused_products;
  std::unordered_set<const Node*> fused_updates;
  for (const auto& node : rewrite.nodes()) {
    if (!is_plain_descent(*node) || !can_fuse(*node, rewrite, users, has_kernel)) continue;
    fused_updates.insert(node.get());
    fused_products.insert(node->input(2).node);
  }
  GraphCopier& copier = rewrite.copier();
  for (const auto& node : rewrite.nodes()) {
    if (fused_products.contains(node.get())) continue;
    if (!fused_updates.contains(node.get())) {
      copier.copy(*node);
      continue;
    }
    const Node& product = *node->input(2).node;
    copier.copy(*node, {.op = "FusedMatMulApplySgd",
                        .inputs = {{copier.map(node->input(0)), copier.map(node->input(1)),
                                    copier.map(product.input(0)), copier.map(product.input(1))}},
                        .attributes = product.attributes()});
  }
  return rewrite.finish();
}

}  // namespace trireme
