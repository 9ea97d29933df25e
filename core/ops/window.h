// Where the windows of a convolution or pooling op lie over an image: TensorFlow's rule, in one
// place.
//
// Shape rules and kernels both read a node's attributes through these functions, so they cannot
// disagree. Attributes: "strides" and "dilations" [h, w], "window" [h, w] (pooling), "padding"
// "VALID" or "SAME", "groups" (convolution).
#pragma once

#include <string_view>

#include "core/graph/attributes.h"
#include "core/tensor/shape.h"

namespace trireme {

// One spatial axis. Window `o` covers positions o·stride − before + k·dilation for k in [0,
// window).
//   VALID: output = ⌈(input − extent + 1) / stride⌉, no padding; extent = (window − 1)·dilation
//   + 1. SAME:  output = ⌈input / stride⌉; what is missing is padded, the odd one after the image.
struct WindowAxis {
  int64_t input = 0, window = 0, stride = 1, dilation = 1;
  int64_t output = 0;  // -1 when input or window is
  int64_t before = 0, after = 0;

  int64_t start(int64_t output_position) const { return output_position * stride - before; }
};

// Throws invalid_argument when a size is not positive or when no window fits.
WindowAxis window_axis(int64_t input, int64_t window, int64_t stride, int64_t dilation,
                       std::string_view padding);

// All sizes of a convolution of input [batch, h, w, in_channels] with filter [h, w, in_channels /
// groups, out_channels].
struct Conv2dGeometry {
  int64_t batch = 0, in_channels = 0, out_channels = 0, groups = 1;
  WindowAxis h, w;

  Shape input() const { return {batch, h.input, w.input, in_channels}; }
  Shape filter() const { return {h.window, w.window, in_channels / groups, out_channels}; }
  Shape output() const { return {batch, h.output, w.output, out_channels}; }
};

// Throws invalid_argument saying what does not fit.
Conv2dGeometry conv2d_geometry(const Shape& input, const Shape& filter,
                               const Attributes& attributes);

// All sizes of pooling an input [batch, h, w, channels].
struct Pool2dGeometry {
  int64_t batch = 0, channels = 0;
  WindowAxis h, w;

  Shape input() const { return {batch, h.input, w.input, channels}; }
  Shape output() const { return {batch, h.output, w.output, channels}; }
};

Pool2dGeometry pool2d_geometry(const Shape& input, const Attributes& attributes);

}  // namespace trireme
