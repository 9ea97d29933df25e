// How pictures of any size become images of one size, as options of a job file.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/catalog/option_visitor.h"
#include "core/data/image_decoder.h"

namespace trireme::data {

enum class ColorMode { kGrayscale, kRgb, kRgba };

struct ImageOptions {
  std::vector<int64_t> image_size = {256, 256};
  ColorMode color_mode = ColorMode::kRgb;
  Interpolation interpolation = Interpolation::kBilinear;
  bool crop_to_aspect_ratio = false;
  double scale = 1 / 255.;
  int64_t max_pixels = ImageLimits().max_pixels;

  void describe(OptionVisitor& visitor);
  void check() const;  // throws Error{kInvalidArgument}

  int64_t channels() const;
  Shape shape() const { return {image_size[0], image_size[1], channels()}; }
  // Decodes and resizes. Throws as decode_image(). REQUIRES: out has as many places as shape().
  void read(std::span<const uint8_t> bytes, std::span<float> out) const;
};

}  // namespace trireme::data
