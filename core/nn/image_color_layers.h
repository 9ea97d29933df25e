// Layers that change the colours of images [batch, height, width, channels], at random while
// training: see image_augmentation_layers.h for factors and for what is drawn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

// Each channel of each image stretched to the whole value_range, in inference too.
struct AutoContrastOptions {
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// What is above a threshold becomes its negative. Both factors are shares of the value range, from
// 0 to the one that is given.
struct SolarizationOptions {
  double addition_factor = 0;  // is added first
  double threshold_factor = 0;
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// Leaves the `factor` highest of the 8 bits of each number.
struct RandomPosterizationOptions {
  int64_t factor = 0;  // must be given
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// Towards gray: factor 1 is gray, 0 the image.
struct RandomColorDegenerationOptions {
  std::vector<double> factor = {};  // two, from 0 to 1; must be given
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// The saturation times f / (1 − f): 0 is gray, 0.5 the image, 1 full colours.
using RandomSaturationOptions = RandomColorDegenerationOptions;
// Between a smoothed image, at factor 0, the image at 0.5, and a sharper one at 1.
using RandomSharpnessOptions = RandomColorDegenerationOptions;

class AutoContrast : public LayerOf<AutoContrastOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "auto_contrast"; }
  Value call(BuildContext& context, Value x) override;
};
class Solarization : public LayerOf<SolarizationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "solarization"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomPosterization : public LayerOf<RandomPosterizationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_posterization"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomColorDegeneration : public LayerOf<RandomColorDegenerationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_color_degeneration"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomSaturation : public LayerOf<RandomSaturationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_saturation"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomSharpness : public LayerOf<RandomSharpnessOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_sharpness"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
