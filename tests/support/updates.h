// Short ways to make nodes of updates.
#pragma once

#include "core/ops/update.h"
#include "core/rules/core_rules.h"

namespace trireme::testing {

// The slot is left out where there is no momentum.
inline Node& apply_sgd(Value variable, Value velocity, Value lr, Value gradient,
                       const rules::Sgd& rule, Value only_if = {}) {
  ops::UpdateInputs inputs{.variable = variable,
                           .gradient = {.values = gradient},
                           .learning_rate = lr,
                           .only_if = only_if};
  if (rule.momentum != 0) inputs.slots = {velocity};
  return ops::update(update_op(rule), inputs);
}

}  // namespace trireme::testing
