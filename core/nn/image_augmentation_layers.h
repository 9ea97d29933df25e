// Layers that change images [batch, height, width, channels]: to another size, and at random while
// training. What is drawn is of the example and the step (see core/ops/random.cc), so all workers
// and devices agree on it. In inference the random ones pass images on, but for RandomCrop.
//
// A factor is a list: one number f stands for −f … f, two for the lowest and the highest. Where a
// layer must know black and white, value_range says them: 0 and 1, as sources give images.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"
#include "core/ops/images.h"

namespace trireme::nn {

struct ResizingOptions {
  int64_t height = 0, width = 0;  // must be given
  ops::Interpolation interpolation = ops::Interpolation::kBilinear;
  bool crop_to_aspect_ratio = false;  // cuts off the longer side first
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
// The middle of each image; one that is smaller is first cropped to the aspect ratio and resized.
struct CenterCropOptions {
  int64_t height = 0, width = 0;  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
// A part of each image anywhere in it; in inference as Resizing with crop_to_aspect_ratio.
using RandomCropOptions = CenterCropOptions;

enum class FlipMode { kHorizontal, kVertical, kBoth };
struct RandomFlipOptions {
  FlipMode mode = FlipMode::kBoth;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

// How an image is moved, and what comes where none was.
struct WarpOptions {
  ops::Fill fill_mode = ops::Fill::kReflect;
  ops::Interpolation interpolation = ops::Interpolation::kBilinear;
  double fill_value = 0;

  void describe(OptionVisitor& visitor);
};
struct RandomRotationOptions : WarpOptions {
  std::vector<double> factor = {};  // of a full turn; must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
struct RandomTranslationOptions : WarpOptions {
  std::vector<double> height_factor = {}, width_factor = {};  // of the size; must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// Times 1 + factor: above 0 the image gets smaller.
struct RandomZoomOptions : WarpOptions {
  std::vector<double> height_factor = {};  // must be given
  std::vector<double> width_factor = {};   // empty: as the height
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// x + x_factor·y and y + y_factor·x around the middle; Keras shears around the upper left corner.
struct RandomShearOptions : WarpOptions {
  std::vector<double> x_factor = {0}, y_factor = {0};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};

// The distance from the image's mean times 1 + factor.
struct RandomContrastOptions {
  std::vector<double> factor = {};  // must be given
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// Plus factor times the distance from black to white.
using RandomBrightnessOptions = RandomContrastOptions;

// Of a share `factor` of the images.
struct RandomInvertOptions {
  double factor = 1;
  std::vector<double> value_range = {0, 1};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
struct RandomGrayscaleOptions {
  double factor = 0.5;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

class Resizing : public LayerOf<ResizingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "resizing"; }
  Value call(BuildContext& context, Value x) override;
};
class CenterCrop : public LayerOf<CenterCropOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "center_crop"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomCrop : public LayerOf<RandomCropOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_crop"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomFlip : public LayerOf<RandomFlipOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_flip"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomRotation : public LayerOf<RandomRotationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_rotation"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomTranslation : public LayerOf<RandomTranslationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_translation"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomZoom : public LayerOf<RandomZoomOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_zoom"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomShear : public LayerOf<RandomShearOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_shear"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomContrast : public LayerOf<RandomContrastOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_contrast"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomBrightness : public LayerOf<RandomBrightnessOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_brightness"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomInvert : public LayerOf<RandomInvertOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_invert"; }
  Value call(BuildContext& context, Value x) override;
};
class RandomGrayscale : public LayerOf<RandomGrayscaleOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "random_grayscale"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
