// Groups updates: those of one op with equal attributes become one GroupedUpdate, which a GPU does
// in one launch, however many variables a model has.
//
// Grouped is what nobody waits for: updates whose new value is not used by another node and which
// no control edge touches. A group waits for the last of its gradients, so they all live until
// then; what that costs is bounded by max_gradient_bytes a group, filled in the order in which
// gradients are made. Updates that wait for different communication stay apart, so that what was
// reduced first is applied while the rest is still on its way.
//
// The Cast of a 16-bit gradient for an f32 variable goes into the group, which reads 16 bits then.
#pragma once

#include <string>
#include <vector>

#include "core/passes/program.h"

namespace trireme {

// Of nodes that are placed on one of `devices`.
Program group_updates(Program program, const std::vector<std::string>& devices,
                      size_t max_gradient_bytes = size_t{256} << 20);

}  // namespace trireme
