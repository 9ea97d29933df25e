// What the graphs that update whole variables have in common. Internal to core/nn.
#pragma once

#include "core/autodiff/gradients.h"
#include "core/ops/ops.h"
#include "core/ops/update.h"
#include "core/rules/core_rules.h"

namespace trireme::nn {

// The parts of one variable's update. Borrows the inputs.
struct UpdateBuilder {
  const ops::UpdateInputs& in;
  Graph& graph = in.variable.graph();

  Value w() const { return in.variable; }
  Value g() const { return densify(in.gradient, in.variable); }
  Value number(double value) const { return ops::scalar(graph, in.variable.dtype(), value); }
  Value lr() const { return ops::cast(in.learning_rate, in.variable.dtype()); }
  // beta^step, computed in f64, where 1 less it has all its digits.
  Value one_less_power(double beta) const {
    const Value one = ops::scalar(graph, DType::kFloat64, 1);
    return ops::cast(one - ops::power(ops::scalar(graph, DType::kFloat64, beta), step()),
                     in.variable.dtype());
  }
  Value step() const { return ops::cast(in.step, DType::kFloat64); }
  // The variable after its decay.
  Value decayed(double weight_decay) const {
    return weight_decay == 0 ? w() : w() - w() * (lr() * number(weight_decay));
  }
  Node* assign(Value variable, Value value) const {
    return &ops::update(update_op(rules::Assign{}), {.variable = variable,
                                                     .gradient = {.values = value},
                                                     .learning_rate = {},
                                                     .step = {},
                                                     .only_if = in.only_if});
  }
};

}  // namespace trireme::nn
