#include "core/passes/common_subexpressions.h"

#include <algorithm>
#include <unordered_map>

#include "core/graph/serialize.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

bool may_merge(const ProgramRewrite& rewrite, const Node& node) {
  return is_pure(node) && !rewrite.is_fed(node) && node.control_inputs().empty();
}

// Equal for nodes that compute the same, given what the inputs became in the new graph.
std::string key_of(const Node& node, const GraphCopier& copier) {
  std::vector<std::pair<int, int>> inputs;
  for (const Value& input : node.inputs()) {
    const Value now = copier.map(input);
    inputs.emplace_back(now.node->id(), now.index);
  }
  if (node.op().traits.is_commutative && inputs.size() >= 2 && inputs[1] < inputs[0]) {
    std::swap(inputs[0], inputs[1]);
  }
  std::string key = node.op().name + '\0' + node.device() + '\0';
  for (const auto& [id, index] : inputs) {
    key.append(reinterpret_cast<const char*>(&id), sizeof id);
    key.append(reinterpret_cast<const char*>(&index), sizeof index);
  }
  append_key(node.attributes(), key);
  return key;
}

}  // namespace

Program merge_common_subexpressions(Program program) {
  ProgramRewrite rewrite(std::move(program));
  std::unordered_map<std::string, Node*> first;
  for (const auto& node : rewrite.nodes()) {
    if (!may_merge(rewrite, *node)) {
      rewrite.copier().copy(*node);
      continue;
    }
    std::string key = key_of(*node, rewrite.copier());
    if (auto it = first.find(key); it != first.end()) {
      rewrite.copier().replace(*node, *it->second);
    } else {
      first.emplace(std::move(key), &rewrite.copier().copy(*node));
    }
  }
  return rewrite.finish();
}

}  // namespace trireme
