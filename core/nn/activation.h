// Functions that a layer may apply to what it gives: those of keras.activations that need no
// number of their own.
#pragma once

#include <cstdint>

#include "core/catalog/option_visitor.h"
#include "core/graph/graph.h"

namespace trireme::nn {

enum class Activation : uint8_t {
  kNone,
  kRelu,
  kSigmoid,
  kTanh,
  kSoftmax,
  kLogSoftmax,
  kLogSigmoid,
  kSoftplus,
  kSoftsign,
  kElu,        // alpha 1
  kCelu,       // alpha 1
  kSelu,       // for kernels that start as lecun_normal
  kLeakyRelu,  // slope 0.2
  kRelu6,
  kGelu,      // by the error function, Keras's gelu(approximate=False), its default
  kGeluTanh,  // by tanh, Keras's gelu(approximate=True)
  kSilu,      // Keras's swish, too
  kMish,
  kExponential,
  kHardSigmoid,
  kHardSilu,
  kHardTanh,
  kHardShrink,
  kSoftShrink,
  kTanhShrink,
  kSquareplus,
  kSparsePlus,
  kSparseSigmoid,
  kGlu,  // halves the last axis
};
Value activate(Value x, Activation activation);
// As an option of a layer: NONE, RELU, ….
void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation);

}  // namespace trireme::nn
