#include "core/graph/print.h"

#include <map>
#include <memory>

#include "core/base/error.h"
#include "core/graph/verify.h"

namespace trireme {
namespace {

std::string reference(const Value& value) {
  const std::string name = "%" + value.node->name();
  return value.index == 0 ? name : name + ":" + std::to_string(value.index);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// Name scopes as a tree: "a/b/c" is node c in scope b in scope a.
struct ScopeTree {
  std::map<std::string, std::unique_ptr<ScopeTree>> scopes;
  std::vector<const Node*> nodes;
};

void add_to(ScopeTree& tree, const Node& node) {
  ScopeTree* at = &tree;
  std::string_view rest = node.name();
  for (size_t slash; (slash = rest.find('/')) != std::string_view::npos;) {
    auto& scope = at->scopes[std::string(rest.substr(0, slash))];
    if (scope == nullptr) scope = std::make_unique<ScopeTree>();
    at = scope.get();
    rest.remove_prefix(slash + 1);
  }
  at->nodes.push_back(&node);
}

void print_scope(const ScopeTree& tree, const std::string& path, int depth, std::string& out) {
  const std::string indent(static_cast<size_t>(2 * depth), ' ');
  for (const Node* node : tree.nodes) {
    const std::string& op = node->op().name;
    const std::string leaf = node->name().substr(node->name().rfind('/') + 1);
    const bool box = is_variable(*node) || is_constant(*node);
    out += str_cat(indent, "n", node->id(), " [label=", quoted(leaf + "\n" + op),
                   box ? ", shape=box" : "", "];\n");
  }
  for (const auto& [name, scope] : tree.scopes) {
    const std::string full = path + name;
    out += indent + "subgraph " + quoted("cluster_" + full) + " {\n";
    out += indent + "  label=" + quoted(name) + ";\n";
    print_scope(*scope, full + "/", depth + 1, out);
    out += indent + "}\n";
  }
}

}  // namespace

std::string to_text(const Node& node) {
  std::string text = "%" + node.name() + " = " + node.op().name + "(";
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    text += (i > 0 ? ", " : "") + reference(node.inputs()[i]);
  }
  text += ")";
  if (!node.attributes().empty()) text += " {" + node.attributes().to_string() + "}";
  for (size_t i = 0; i < node.control_inputs().size(); ++i) {
    text += (i > 0 ? ", %" : " after %") + node.control_inputs()[i]->name();
  }
  for (int i = 0; i < node.output_count(); ++i) {
    text += (i > 0 ? ", " : " : ") + node.output_type(i).to_string();
  }
  if (!node.device().empty()) text += " @" + node.device();
  return text;
}

std::string to_text(const Graph& graph) {
  std::string text;
  for (const auto& node : graph.nodes()) text += to_text(*node) + "\n";
  return text;
}

std::string to_dot(const Graph& graph) {
  ScopeTree tree;
  for (const auto& node : graph.nodes()) add_to(tree, *node);
  std::string out = "digraph {\n  rankdir=BT;\n  node [shape=ellipse];\n";
  print_scope(tree, "", 1, out);
  for (const auto& node : graph.nodes()) {
    for (const Value& input : node->inputs()) {
      out += str_cat("  n", input.node->id(), " -> n", node->id(),
                     " [label=", quoted(input.type().to_string()), "];\n");
    }
    for (const Node* control : node->control_inputs()) {
      out += str_cat("  n", control->id(), " -> n", node->id(), " [style=dashed];\n");
    }
  }
  return out + "}\n";
}

}  // namespace trireme
