// Layers that say which steps of a sequence are there: BuildContext::mask().
#pragma once

#include <string>

#include "core/nn/layer.h"

namespace trireme::nn {

// A step of x: [batch, time, features] whose features all are `mask_value` is padding: later layers
// leave it out, and its features become 0.
struct MaskingOptions {
  double mask_value = 0;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Masking : public LayerOf<MaskingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "masking"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
