// An OpCase as the runtime runs it: what the op mutates becomes a variable, the rest is fed.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

struct SessionCase {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>(core_op_table());
  std::vector<Value> inputs;
  std::vector<std::pair<Value, Tensor>> feeds;
  std::vector<std::pair<std::string, Tensor>> variables;
  Node* node = nullptr;

  // `built` gives the inputs' values.
  SessionCase(const OpCase& op_case, const BuiltCase& built) {
    const auto mutated = mutated_inputs(graph->ops()->find(op_case.op), op_case.attributes);
    for (size_t i = 0; i < built.inputs.size(); ++i) {
      const Tensor value = built.feeds[i].second.clone();
      const std::string name = "input" + std::to_string(i);
      if (std::ranges::find(mutated, static_cast<int>(i)) != mutated.end()) {
        inputs.push_back(ops::variable(*graph, name, value.dtype(), value.shape()));
        variables.emplace_back(name, value);
      } else {
        inputs.push_back(ops::placeholder(*graph, name, value.dtype(), value.shape()));
        feeds.emplace_back(inputs.back(), value);
      }
    }
    node = &graph->add(op_case.op, inputs, op_case.attributes);
  }

  std::vector<Value> outputs() const {
    std::vector<Value> values;
    for (int i = 0; i < node->output_count(); ++i) values.push_back(node->output(i));
    return values;
  }
  void set_variables(Session& session) const {
    for (const auto& [name, value] : variables) {
      session.variables().set(name, value, session.options().default_device);
    }
  }
};

}  // namespace trireme::testing
