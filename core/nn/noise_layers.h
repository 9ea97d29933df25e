// Layers that disturb what they are given while training, and pass it on in inference. What they
// draw is a function of the job's seed, the layer, the step and the example, so that it does not
// depend on how a batch was split. Dropout stands in layers.h.
#pragma once

#include <optional>
#include <string>

#include "core/nn/layer.h"

namespace trireme::nn {

// A share `rate` of something; must be given.
struct RateOptions {
  std::optional<double> rate = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// Whole channels, in all steps or pixels, as Dropout does it with single numbers.
class SpatialDropout1D : public LayerOf<RateOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "spatial_dropout1d"; }
  Value call(BuildContext& context, Value x) override;
};
class SpatialDropout2D : public LayerOf<RateOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "spatial_dropout2d"; }
  Value call(BuildContext& context, Value x) override;
};
class SpatialDropout3D : public LayerOf<RateOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "spatial_dropout3d"; }
  Value call(BuildContext& context, Value x) override;
};
// Dropout that keeps mean and variance where both are those of SELU networks (Klambauer et al.
// 2017): what is dropped becomes SELU's lowest value.
class AlphaDropout : public LayerOf<RateOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "alpha_dropout"; }
  Value call(BuildContext& context, Value x) override;
};
// Times normal numbers of mean 1 and variance rate / (1 − rate).
class GaussianDropout : public LayerOf<RateOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "gaussian_dropout"; }
  Value call(BuildContext& context, Value x) override;
};

// Plus normal numbers of mean 0.
struct GaussianNoiseOptions {
  std::optional<double> stddev = {};  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class GaussianNoise : public LayerOf<GaussianNoiseOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "gaussian_noise"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
