#include "core/nn/activation.h"

#include "core/base/error.h"
#include "core/ops/elementwise_functions.h"
#include "core/ops/ops.h"

namespace trireme::nn {

Value activate(Value x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return ops::relu(x);
    case Activation::kSigmoid:
      return ops::sigmoid(x);
    case Activation::kTanh:
      return ops::tanh(x);
    case Activation::kSoftmax:
      return ops::softmax(x);
    case Activation::kLogSoftmax:
      return ops::log_softmax(x);
    case Activation::kLogSigmoid:
      return ops::log_sigmoid(x);
    case Activation::kSoftplus:
      return ops::softplus(x);
    case Activation::kSoftsign:
      return ops::softsign(x);
    case Activation::kElu:
      return ops::elu(x);
    case Activation::kCelu:
      return ops::celu(x);
    case Activation::kSelu:
      return ops::selu(x);
    case Activation::kLeakyRelu:
      return ops::leaky_relu(x);
    case Activation::kRelu6:
      return ops::relu6(x);
    case Activation::kGelu:
      return ops::gelu(x);
    case Activation::kGeluTanh:
      return ops::gelu_tanh(x);
    case Activation::kSilu:
      return ops::silu(x);
    case Activation::kMish:
      return ops::mish(x);
    case Activation::kExponential:
      return ops::exp(x);
    case Activation::kHardSigmoid:
      return ops::hard_sigmoid(x);
    case Activation::kHardSilu:
      return ops::hard_silu(x);
    case Activation::kHardTanh:
      return ops::hard_tanh(x);
    case Activation::kHardShrink:
      return ops::hard_shrink(x);
    case Activation::kSoftShrink:
      return ops::soft_shrink(x);
    case Activation::kTanhShrink:
      return ops::tanh_shrink(x);
    case Activation::kSquareplus:
      return ops::squareplus(x);
    case Activation::kSparsePlus:
      return ops::sparse_plus(x);
    case Activation::kSparseSigmoid:
      return ops::sparse_sigmoid(x);
    case Activation::kGlu:
      return ops::glu(x);
  }
  TRIREME_CHECK(false, "activation ", static_cast<int>(activation));
}

void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation) {
  static constexpr EnumName<Activation> kNames[] = {
      {Activation::kNone, "NONE"},
      {Activation::kRelu, "RELU"},
      {Activation::kSigmoid, "SIGMOID"},
      {Activation::kTanh, "TANH"},
      {Activation::kSoftmax, "SOFTMAX"},
      {Activation::kLogSoftmax, "LOG_SOFTMAX"},
      {Activation::kLogSigmoid, "LOG_SIGMOID"},
      {Activation::kSoftplus, "SOFTPLUS"},
      {Activation::kSoftsign, "SOFTSIGN"},
      {Activation::kElu, "ELU"},
      {Activation::kCelu, "CELU"},
      {Activation::kSelu, "SELU"},
      {Activation::kLeakyRelu, "LEAKY_RELU"},
      {Activation::kRelu6, "RELU6"},
      {Activation::kGelu, "GELU"},
      {Activation::kGeluTanh, "GELU_TANH"},
      {Activation::kSilu, "SILU"},
      {Activation::kMish, "MISH"},
      {Activation::kExponential, "EXPONENTIAL"},
      {Activation::kHardSigmoid, "HARD_SIGMOID"},
      {Activation::kHardSilu, "HARD_SILU"},
      {Activation::kHardTanh, "HARD_TANH"},
      {Activation::kHardShrink, "HARD_SHRINK"},
      {Activation::kSoftShrink, "SOFT_SHRINK"},
      {Activation::kTanhShrink, "TANH_SHRINK"},
      {Activation::kSquareplus, "SQUAREPLUS"},
      {Activation::kSparsePlus, "SPARSE_PLUS"},
      {Activation::kSparseSigmoid, "SPARSE_SIGMOID"},
      {Activation::kGlu, "GLU"},
  };
  visitor.field(info, activation, kNames);
}

}  // namespace trireme::nn
