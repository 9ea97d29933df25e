#include "core/nn/activation.h"

#include "core/base/error.h"
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
  }
  TRIREME_CHECK(false, "activation ", static_cast<int>(activation));
}

void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation) {
  static constexpr EnumName<Activation> kNames[] = {{Activation::kNone, "NONE"},
                                                    {Activation::kRelu, "RELU"},
                                                    {Activation::kSigmoid, "SIGMOID"},
                                                    {Activation::kTanh, "TANH"},
                                                    {Activation::kSoftmax, "SOFTMAX"}};
  visitor.field(info, activation, kNames);
}

}  // namespace trireme::nn
