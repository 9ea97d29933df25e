#include "core/passes/split_ops.h"

#include <algorithm>

namespace trireme {
namespace {

void split(const Node& node, ProgramRewrite& rewrite) {
  GraphCopier& copier = rewrite.copier();
  std::vector<Value> inputs;
  for (const Value& input : node.inputs()) inputs.push_back(copier.map(input));
  const Graph::Scope scope(rewrite.to(), node.name(), node.device());
  const std::vector<Value> outputs = node.op().split(node, inputs);
  Node& old = const_cast<Node&>(node);
  for (int i = 0; i < node.output_count(); ++i) {
    copier.replace(old.output(i), outputs.at(static_cast<size_t>(i)));
  }
}

}  // namespace

Program split_ops(Program program, const std::vector<std::string>& devices) {
  ProgramRewrite rewrite(std::move(program));
  const Users users(*rewrite.from().graph);
  for (const auto& node : rewrite.nodes()) {
    const auto continues_chain = [&](const Node* user) {
      return user->op().traits.is_elementwise && user->device() == node->device();
    };
    if (node->op().split && !rewrite.is_root(*node) && !users.has_control_edges(*node) &&
        std::ranges::count(devices, node->device()) > 0 &&
        std::ranges::any_of(users.of(node->output(0)), continues_chain)) {
      split(*node, rewrite);
    } else {
      rewrite.copier().copy(*node);
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
