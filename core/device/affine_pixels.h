// Which pixels of an image an affine transformation reads for a pixel that it makes; the same on
// every device. Coordinates are in 64-bit floats, so that no device rounds to another pixel.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace trireme {

enum class ImageFill : int32_t { kConstant, kNearest, kReflect, kWrap };

struct AffineGeometry {
  int64_t images, in_h, in_w, out_h, out_w, channels;
  int32_t bilinear;
  ImageFill fill;
  double fill_value;
};

// The pixels to read along one axis and the share of the second; -1: the fill value.
struct AxisTaps {
  int64_t first, second;
  double share;
};

// Position `i` of an axis of `size` as one that is there; -1: the fill value.
TRIREME_HOST_DEVICE inline int64_t filled_position(int64_t i, int64_t size, ImageFill fill) {
  if (i >= 0 && i < size) return i;
  switch (fill) {
    case ImageFill::kConstant:
      return -1;
    case ImageFill::kNearest:
      return i < 0 ? 0 : size - 1;
    case ImageFill::kReflect: {  // d c b a | a b c d | d c b a
      const int64_t rest = i % (2 * size), at = rest < 0 ? rest + 2 * size : rest;
      return at < size ? at : 2 * size - 1 - at;
    }
    case ImageFill::kWrap: {
      const int64_t rest = i % size;
      return rest < 0 ? rest + size : rest;
    }
  }
  return -1;
}

TRIREME_HOST_DEVICE inline int64_t whole_part(double position) {
  // Far outside and NaN: somewhere outside.
  if (!(position > -1e15)) return -1000000000000000;
  if (position > 1e15) return 1000000000000000;
  const int64_t cut = static_cast<int64_t>(position);
  return static_cast<double>(cut) > position ? cut - 1 : cut;
}

TRIREME_HOST_DEVICE inline AxisTaps axis_taps(double position, int64_t size,
                                              const AffineGeometry& g) {
  if (g.bilinear == 0) {
    return {filled_position(whole_part(position + 0.5), size, g.fill), -1, 0};
  }
  const int64_t low = whole_part(position);
  const double share = position - static_cast<double>(low);
  return {filled_position(low, size, g.fill), filled_position(low + 1, size, g.fill),
          share >= 0 && share < 1 ? share : 0};
}

// Where the pixel (x, y) of the output lies in the input: `transform` is a, b, c, d, e, f of
// (a·x + b·y + c, d·x + e·y + f).
struct PixelTaps {
  AxisTaps x, y;
};
TRIREME_HOST_DEVICE inline PixelTaps pixel_taps(const float* transform, int64_t x, int64_t y,
                                                const AffineGeometry& g) {
  const double column = static_cast<double>(x), row = static_cast<double>(y);
  return {axis_taps(transform[0] * column + transform[1] * row + transform[2], g.in_w, g),
          axis_taps(transform[3] * column + transform[4] * row + transform[5], g.in_h, g)};
}

// The number at `channel` of the pixel, of type C. at(y, x): what the image has there.
template <typename C, typename At>
TRIREME_HOST_DEVICE inline C transformed_value(const PixelTaps& taps, const AffineGeometry& g,
                                               At at) {
  const auto value = [&](int64_t y, int64_t x) {
    return y < 0 || x < 0 ? static_cast<C>(g.fill_value) : static_cast<C>(at(y, x));
  };
  if (g.bilinear == 0) return value(taps.y.first, taps.x.first);
  const C along_x = static_cast<C>(taps.x.share), along_y = static_cast<C>(taps.y.share);
  // A pixel of share 0 does not count, whatever stands there.
  const auto between = [](C low, C high, C share) {
    return share == C(0) ? low : low * (C(1) - share) + high * share;
  };
  const C top =
      between(value(taps.y.first, taps.x.first), value(taps.y.first, taps.x.second), along_x);
  if (along_y == C(0)) return top;
  const C bottom =
      between(value(taps.y.second, taps.x.first), value(taps.y.second, taps.x.second), along_x);
  return between(top, bottom, along_y);
}

}  // namespace trireme
