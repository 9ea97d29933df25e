// Common subexpressions: nodes that compute the same from the same are merged into the first of
// them.
//
// The same: op, inputs (in either order for a commutative op), attributes and device. Never merged:
// what has an effect or differs from run to run, variables, placeholders and other feeds, and nodes
// with control inputs. Two readers of a variable may be merged, because both run before its update.
#pragma once

#include "core/passes/program.h"

namespace trireme {

Program merge_common_subexpressions(Program program);

}  // namespace trireme
