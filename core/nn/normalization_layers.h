// Layers that bring numbers to a common mean, variance or length.
#pragma once

#include <cstdint>
#include <string>

#include "core/nn/layer.h"

namespace trireme::nn {

// Ioffe and Szegedy 2015, over all axes but the last. Training uses the batch's mean and variance
// and keeps moving averages of them; inference uses those.
struct BatchNormOptions {
  double momentum = 0.99;
  double epsilon = 1e-3;
  bool center = true, scale = true;  // adds beta, multiplies by gamma
  Initializer beta_initializer = zeros(), gamma_initializer = ones();
  Initializer moving_mean_initializer = zeros(), moving_variance_initializer = ones();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class BatchNorm : public LayerOf<BatchNormOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "batch_norm"; }
  Value call(BuildContext& context, Value x) override;
};

// (x − mean)/√(variance + epsilon)·gamma + beta, with mean and biased variance over the last axis
// of each example (Ba et al. 2016), the same in training and inference. x: [batch, …, channels],
// f32.
struct LayerNormOptions {
  double epsilon = 1e-3;
  bool center = true, scale = true;  // adds beta, multiplies by gamma
  Initializer beta_initializer = zeros(), gamma_initializer = ones();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class LayerNorm : public LayerOf<LayerNormOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "layer_norm"; }
  Value call(BuildContext& context, Value x) override;
};

// As LayerNorm, with the mean and variance of each of `groups` equal parts of the channels, over
// all pixels (Wu and He 2018). gamma, beta: [channels].
struct GroupNormOptions {
  int64_t groups = 32;  // -1: as many as channels
  double epsilon = 1e-3;
  bool center = true, scale = true;  // adds beta, multiplies by gamma
  Initializer beta_initializer = zeros(), gamma_initializer = ones();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class GroupNorm : public LayerOf<GroupNormOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "group_norm"; }
  Value call(BuildContext& context, Value x) override;
};

// x/√(mean of x² + epsilon)·scale over the last axis of each example (Zhang and Sennrich 2019).
struct RmsNormOptions {
  double epsilon = 1e-6;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class RmsNorm : public LayerOf<RmsNormOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "rms_norm"; }
  Value call(BuildContext& context, Value x) override;
};

// Vectors along an axis brought to length 1; a vector of zeros stays one.
struct UnitNormOptions {
  int64_t axis = -1;  // the batch is axis 0; negative: from the last
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class UnitNorm : public LayerOf<UnitNormOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "unit_norm"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
