// Functions that a layer may apply to what it gives.
#pragma once

#include <cstdint>

#include "core/catalog/option_visitor.h"
#include "core/graph/graph.h"

namespace trireme::nn {

enum class Activation : uint8_t { kNone, kRelu, kSigmoid, kTanh, kSoftmax };
Value activate(Value x, Activation activation);
// As an option of a layer: NONE, RELU, ….
void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation);

}  // namespace trireme::nn
