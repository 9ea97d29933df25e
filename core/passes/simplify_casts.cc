#include "core/passes/simplify_casts.h"

#include <unordered_map>
#include <unordered_set>

#include "core/device/small_floats.h"

namespace trireme {
namespace {

bool is_cast_to_f32(const Node& node) {
  return node.op().name == "Cast" && node.output_type().dtype == DType::kFloat32 &&
         is_small(node.input(0).dtype());
}

}  // namespace

Program simplify_casts(Program program, const HasKernel& has_kernel) {
  ProgramRewrite rewrite(std::move(program));
  const Users users(*rewrite.from().graph);
  GraphCopier& copier = rewrite.copier();
  const auto widens = [&](const Node& cast) {
    const Value product = cast.input(0);
    const std::string& op = product.node->op().traits.wide_form;
    return has_kernel && !op.empty() && !rewrite.is_fed(cast) && users.of(product).size() == 1 &&
           !rewrite.is_root(*product.node) && !users.has_control_edges(*product.node) &&
           product.node->device() == cast.device() && has_kernel(op, product.dtype());
  };
  std::unordered_set<const Node*> products;
  for (const auto& node : rewrite.nodes()) {
    if (is_cast_to_f32(*node) && widens(*node)) products.insert(node->input(0).node);
  }
  for (const auto& node : rewrite.nodes()) {
    if (products.contains(node.get())) continue;
    if (node->op().name != "Cast" || rewrite.is_fed(*node)) {
      copier.copy(*node);
      continue;
    }
    const Node& from = *node->input(0).node;
    if (products.contains(&from)) {
      copier.copy(*node, {.op = from.op().traits.wide_form,
                          .inputs = copier.map(from.inputs()),
                          .attributes = from.attributes()});
    } else if (is_cast_to_f32(from) && !rewrite.is_fed(from) && !rewrite.is_root(*node) &&
               !users.has_control_edges(*node) && copier.has(from.input(0)) &&
               from.input(0).dtype() == node->output_type().dtype) {
      copier.replace(Value{node.get(), 0}, copier.map(from.input(0)));
    } else {
      copier.copy(*node);
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
