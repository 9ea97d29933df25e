// A dense layer over any axes, as an equation names them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

// activation(einsum(equation, x, kernel) + bias). equation: "abc,cd->abd", of which the first
// letter is the batch. A letter that only the kernel and the output have is as long as output_shape
// says, which is that of an example; -1 where the input says it. bias_axes: the letters of the
// output along which there is a bias; empty: none.
struct EinsumDenseOptions {
  std::string equation = "";               // must be given
  std::vector<int64_t> output_shape = {};  // must be given
  std::string bias_axes = "";
  Activation activation = Activation::kNone;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class EinsumDense : public LayerOf<EinsumDenseOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "einsum_dense"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

}  // namespace trireme::nn
