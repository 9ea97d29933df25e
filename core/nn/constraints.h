// Constraints: what a variable is brought to after each of its updates.
//
// A constraint is a part of the graph and acts on whole variables: strategies that keep a variable
// in pieces elsewhere refuse it. Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/graph/graph.h"

namespace trireme::nn {

// To add one: derive a class, and add it in register_core_constraints(), or in a program's own
// list.
class Constraint : public Component {
 public:
  static constexpr std::string_view kFamily = "constraint";
  // Of the type of `w`. Throws Error{kInvalidArgument} for a shape that it does not take.
  virtual Value project(Value w) const = 0;
};
using ConstraintPtr = std::shared_ptr<const Constraint>;

// Norms are over `axes` of a variable, for a dense kernel those of a unit's weights; a
// convolution's filters have {0, 1, 2}.
struct NormAxes {
  std::vector<int64_t> axes = {0};
};
ConstraintPtr max_norm(double max_value = 2, NormAxes axes = {});
// Norms move the share `rate` of the way to the nearest one between the bounds.
ConstraintPtr min_max_norm(double min_value = 0, double max_value = 1, double rate = 1,
                           NormAxes axes = {});
ConstraintPtr unit_norm(NormAxes axes = {});
ConstraintPtr non_neg();  // what is below 0 becomes 0

// As an option of a layer.
void describe(OptionVisitor& visitor, const OptionInfo& info, ConstraintPtr& constraint);
void register_core_constraints(Catalog<Constraint>& catalog);

}  // namespace trireme::nn
