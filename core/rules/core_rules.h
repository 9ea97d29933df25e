// The one list of Trireme's rules. A line here and the file that it names are all of a new one.
#pragma once

#include <memory>
#include <vector>

#include "core/rules/adadelta.h"
#include "core/rules/adagrad.h"
#include "core/rules/adam.h"
#include "core/rules/adamax.h"
#include "core/rules/adamw.h"
#include "core/rules/amsgrad.h"
#include "core/rules/assign.h"
#include "core/rules/ftrl.h"
#include "core/rules/lion.h"
#include "core/rules/nadam.h"
#include "core/rules/rmsprop.h"
#include "core/rules/sgd.h"

// rule(Name) for each. A macro, because a GPU's kernels get their names by one.
#define TRIREME_ASSIGNMENTS(rule) \
  rule(Assign) rule(AssignAdd) rule(MovingAverage) rule(WeightAverage)
#define TRIREME_OPTIMIZERS(rule)                                                          \
  rule(Sgd) rule(RmsProp) rule(Adagrad) rule(Adam) rule(AdamW) rule(Amsgrad) rule(Adamax) \
      rule(Nadam) rule(Adadelta) rule(Ftrl) rule(Lion)

namespace trireme {

struct UpdateRule;

// Compiled for any processor.
std::vector<std::shared_ptr<const UpdateRule>> core_rules();

// call.operator()<Rule>() for each.
template <typename Call>
void for_each_optimizer(const Call& call) {
#define TRIREME_CALL(Rule) call.template operator()<rules::Rule>();
  TRIREME_OPTIMIZERS(TRIREME_CALL)
#undef TRIREME_CALL
}
template <typename Call>
void for_each_rule(const Call& call) {
#define TRIREME_CALL(Rule) call.template operator()<rules::Rule>();
  TRIREME_ASSIGNMENTS(TRIREME_CALL)
#undef TRIREME_CALL
  for_each_optimizer(call);
}

}  // namespace trireme
