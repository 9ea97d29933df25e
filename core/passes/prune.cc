#include "core/passes/prune.h"

#include "core/graph/verify.h"

namespace trireme {

Program prune(Program program) {
  ProgramRewrite rewrite(std::move(program));
  std::vector<const Node*> roots;
  for (const auto& node : rewrite.nodes()) {
    if (rewrite.is_root(*node)) roots.push_back(node.get());
  }
  const std::vector<bool> needed = needed_nodes(*rewrite.from().graph, roots);
  for (const auto& node : rewrite.nodes()) {
    if (needed[static_cast<size_t>(node->id())]) rewrite.copier().copy(*node);
  }
  return rewrite.finish();
}

}  // namespace trireme
