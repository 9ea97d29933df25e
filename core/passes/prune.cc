#include "core/passes/prune.h"

namespace trireme {

Program prune(Program program) {
  ProgramRewrite rewrite(std::move(program));
  std::vector<bool> needed(rewrite.nodes().size());
  std::vector<const Node*> open;
  const auto need = [&](const Node* node) {
    const auto id = static_cast<size_t>(node->id());
    if (!needed[id]) open.push_back(node);
    needed[id] = true;
  };
  for (const auto& node : rewrite.nodes()) {
    if (rewrite.is_root(*node)) need(node.get());
  }
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Value& input : node->inputs()) need(input.node);
    for (const Node* control : node->control_inputs()) need(control);
  }
  for (const auto& node : rewrite.nodes()) {
    if (needed[static_cast<size_t>(node->id())]) rewrite.copier().copy(*node);
  }
  return rewrite.finish();
}

}  // namespace trireme
