// A dense layer over any axes, and a penalty of what a layer gives.
#pragma once

#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

void register_einsum_layers(Catalog<Layer>& catalog);

// y = activation(einsum(equation, x, kernel) + bias), as Keras's: "abc,cd->abd" is Dense over the
// last axis. Each axis of the input and of the kernel is a letter; the first is the batch.
struct EinsumDenseOptions {
  std::string equation = "";               // must be given
  std::vector<int64_t> output_shape = {};  // without the batch; must be given
  std::string bias_axes = "";              // letters of the output; empty: no bias
  Activation activation = Activation::kNone;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class EinsumDense : public LayerOf<EinsumDenseOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "einsum_dense"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// Its input; adds l1·Σ|x| + l2·Σx² to the loss, divided by the examples as Keras does.
struct ActivityRegularizationOptions {
  double l1 = 0, l2 = 0;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class ActivityRegularization : public LayerOf<ActivityRegularizationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "activity_regularization"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
