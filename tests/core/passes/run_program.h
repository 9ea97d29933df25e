// Runs programs before and after a pass on the same inputs, and compares what is seen from outside.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/passes/program.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {

// A program over a fresh graph of core ops. A pass consumes its program, so comparing needs it
// built twice.
using Build = std::function<void(Graph& graph, Program& program)>;
Program make_program(const Build& build);

// How many nodes of `op` there are.
int count(const Program& program, std::string_view op);

struct Outcome {
  std::vector<Tensor> fetches;
  std::map<std::string, Tensor> variables;  // those that were updated, as they are afterwards
};
// Feeds every placeholder and variable with numbers drawn from its name (an unknown dimension is 3)
// and runs fetches and targets on the kernels of `device_kind`.
Outcome run(const Program& program, std::string_view device_kind = "reference");

// Empty when both programs do the same, else what differs.
std::string compare(const Program& actual, const Program& expected, double tolerance = 1e-5,
                    std::string_view device_kind = "reference");

}  // namespace trireme::testing
