#include "core/passes/split_batch_norm.h"

#include <algorithm>

#include "core/ops/ops.h"

namespace trireme {
namespace {

void split(const Node& node, ProgramRewrite& rewrite) {
  GraphCopier& copier = rewrite.copier();
  const Value x = copier.map(node.input(0)), offset = copier.map(node.input(2));
  const Graph::Scope scope(rewrite.to(), node.name(), node.device());
  Node& statistics = rewrite.to().add("BatchNormStatistics", {x, copier.map(node.input(1))},
                                      node.attributes(), "statistics");
  const Value mean = statistics.output(0), factor = statistics.output(2);
  const Value y = (ops::cast(x, mean.dtype()) - mean) * factor + offset;
  Node& old = const_cast<Node&>(node);
  copier.replace(old.output(0), ops::cast(y, x.dtype()));
  copier.replace(old.output(1), mean);
  copier.replace(old.output(2), statistics.output(1));
}

}  // namespace

Program split_batch_norm(Program program, const std::vector<std::string>& devices) {
  ProgramRewrite rewrite(std::move(program));
  const Users users(*rewrite.from().graph);
  for (const auto& node : rewrite.nodes()) {
    const auto continues_chain = [&](const Node* user) {
      return user->op().traits.is_elementwise && user->device() == node->device();
    };
    if (node->op().name == "BatchNorm" && !rewrite.is_root(*node) &&
        !users.has_control_edges(*node) && std::ranges::count(devices, node->device()) > 0 &&
        std::ranges::any_of(users.of(node->output(0)), continues_chain)) {
      split(*node, rewrite);
    } else {
      rewrite.copier().copy(*node);
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
