// Pictures in PNG (libpng) and JPEG (libjpeg-turbo) to pixels, told by their first bytes.
//
// The size in a header is checked against the limits before anything is allocated for it, so memory
// stays below what `max_pixels` take, whatever a file says. A damaged or cut off picture is
// Error{kDataLoss} without a place, never a picture that is grey in part. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/shape.h"

namespace trireme::data {

struct ImageLimits {
  int64_t max_pixels = int64_t{1} << 26;  // 64 million: 192 MB of colours
};

// Bytes [height, width, channels], row by row.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// Into `out`, whose memory is used again. `channels`: 1 grey, 3 colours, 4 with opacity (255 where
// the picture has none; of PNG only), 0 as the picture has it. Grey becomes colours that are equal,
// colours become their luma; opacity is dropped; 16 bits become 8; a palette becomes its colours.
void decode_image(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                  const ImageLimits& limits = {});

enum class Interpolation { kBilinear, kNearest };

// Resizes to [height, width, channels] floats, each times `scale`: pixel centres are at halves and
// nothing is smoothed before, as tf.image.resize does. With `crop_to_aspect_ratio` what is too wide
// or too high is cut off first, on both sides alike; else the picture is stretched.
struct ResizeOptions {
  int64_t height = 0, width = 0;
  Interpolation interpolation = Interpolation::kBilinear;
  bool crop_to_aspect_ratio = false;
  float scale = 1;
};
// REQUIRES: out has height * width * channels places.
void resize_image(const Image& image, const ResizeOptions& options, std::span<float> out);

}  // namespace trireme::data
