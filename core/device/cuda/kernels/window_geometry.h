// The sizes of a convolution or pooling as its kernels take them: by value, from host and card
// alike. Axes are as WindowAxis of core/ops/window.h.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

struct AxisGeometry {
  int32_t input, output, window, stride, dilation, before;
};

struct WindowGeometry {
  int64_t batch;
  AxisGeometry h, w;
  // Of a convolution: of the image, of what it makes, and groups. Of pooling: in_channels alone.
  int32_t in_channels, out_channels, groups;
};

}  // namespace trireme::cuda
