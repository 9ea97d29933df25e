// The ops of update rules, and nodes of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/graph/gradient_context.h"
#include "core/rules/update_rule.h"

namespace trireme::ops {

// What an update takes. `variable` and slots are variables of the same type, and are changed in
// place.
struct UpdateInputs {
  Value variable;
  // A sparse one changes the rows that it names; rows that repeat are added up first.
  Gradient gradient;
  Value learning_rate;  // f32[]; of an optimizer
  Value step;           // i64[], 1 for the first; not used where the rule has none
  std::vector<Value> slots = {};
  Value only_if = {};  // bool[], false where nothing is to change; may be undefined
};

// The node, whose one output is the variable's new value. Throws invalid_argument when there is no
// such op, or the slots are not those that it has.
Node& update(const UpdateOp& op, const UpdateInputs& inputs);

}  // namespace trireme::ops

namespace trireme {

// Adds the ops of a rule: each NAME of them, NAME + "If" with a guard, and for an optimizer NAME +
// "Sparse" and NAME + "SparseIf".
void add_update_ops(OpTable& table, const std::shared_ptr<const UpdateRule>& rule);

}  // namespace trireme
