// Indices of images [batch, h, w, channels] and of the windows over them.
#pragma once

#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/window_geometry.h"

namespace trireme::cuda {

// Takes the fastest index, of `size` values, off a position: the index is returned, the rest stays.
// Positions that fit are divided in 32 bits, which takes a fraction of the time.
TRIREME_DEVICE int64_t take(int64_t& position, int64_t size) {
  if (static_cast<uint64_t>(position | size) <= 0xffffffffu) {
    const uint32_t p = static_cast<uint32_t>(position), s = static_cast<uint32_t>(size);
    const uint32_t quotient = p / s;
    position = quotient;
    return p - quotient * s;
  }
  const int64_t quotient = position / size, index = position - quotient * size;
  position = quotient;
  return index;
}

// Window positions [begin, end) that lie inside the image; or, seen from the image, windows.
struct Span {
  int32_t begin, end;
};

// Which elements of window `output` lie in the image. REQUIRES: no dilation.
TRIREME_DEVICE Span inside(const AxisGeometry& axis, int32_t output) {
  const int32_t start = output * axis.stride - axis.before, rest = axis.input - start;
  return {start < 0 ? -start : 0, rest < axis.window ? rest : axis.window};
}

// Which windows cover position `input` of the image. REQUIRES: no dilation.
TRIREME_DEVICE Span covering(const AxisGeometry& axis, int32_t input) {
  const int32_t last = (input + axis.before) / axis.stride;
  const int32_t missed = input + axis.before - axis.window;  // < 0: the first window covers it
  return {missed < 0 ? 0 : missed / axis.stride + 1, last < axis.output ? last + 1 : axis.output};
}

}  // namespace trireme::cuda
