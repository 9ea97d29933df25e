#include "tests/core/passes/run_program.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"

namespace trireme::testing {

Program make_program(const Build& build) {
  Program program;
  program.graph = std::make_unique<Graph>(core_op_table());
  build(*program.graph, program);
  return program;
}

int count(const Program& program, std::string_view op) {
  return static_cast<int>(std::ranges::count_if(
      program.graph->nodes(), [&](const auto& node) { return node->op().name == op; }));
}

Outcome run(const Program& program, std::string_view device_kind) {
  Feeds feeds;
  std::map<std::string, Tensor> variables;
  for (const auto& node : program.graph->nodes()) {
    const bool is_variable = node->op().name == "Variable";
    if (!is_variable && node->op().name != "Placeholder") continue;
    Shape shape = node->output_type().shape;
    for (int i = 0; i < shape.rank(); ++i) shape.set(i, shape[i] < 0 ? 3 : shape[i]);
    const bool integer = is_integer(node->output_type().dtype);
    feeds.emplace_back(node->output(),
                       random_tensor(node->output_type().dtype, shape, integer ? 0 : -1,
                                     integer ? 2 : 1, hash_name(node->name())));
    if (is_variable) variables[node->name()] = feeds.back().second;
  }
  std::vector<Value> wanted = program.fetches;
  for (Node* target : program.targets) wanted.push_back(target->output());
  Outcome outcome;
  for (const Tensor& value : evaluate(wanted, feeds, device_kind))
    outcome.fetches.push_back(value.clone());
  outcome.fetches.resize(program.fetches.size());
  for (const Node* target : program.targets) {
    for (int i : mutated_inputs(*target)) {
      const std::string& name = target->input(i).node->name();
      outcome.variables[name] = variables.at(name);
    }
  }
  return outcome;
}

std::string compare(const Program& actual, const Program& expected, double tolerance,
                    std::string_view device_kind) {
  const Outcome a = run(actual, device_kind), e = run(expected);
  if (a.fetches.size() != e.fetches.size()) return "another number of fetches";
  for (size_t i = 0; i < e.fetches.size(); ++i) {
    const std::string text = difference(a.fetches[i], e.fetches[i], tolerance);
    if (!text.empty()) return str_cat("fetch ", i, ": ", text);
  }
  if (a.variables.size() != e.variables.size()) return "another number of updated variables";
  for (const auto& [name, value] : e.variables) {
    if (!a.variables.contains(name)) return "variable " + name + " is not updated";
    const std::string text = difference(a.variables.at(name), value, tolerance);
    if (!text.empty()) return str_cat("variable ", name, ": ", text);
  }
  return "";
}

}  // namespace trireme::testing
