// The sizes of windows as kernels take them. Private to core/device/cuda.
#pragma once

#include "core/device/cuda/kernels/window_geometry.h"
#include "core/ops/window.h"

namespace trireme::cuda {

inline AxisGeometry axis_geometry(const WindowAxis& axis) {
  const auto narrow = [](int64_t size) { return static_cast<int32_t>(size); };
  return {narrow(axis.input),  narrow(axis.output),   narrow(axis.window),
          narrow(axis.stride), narrow(axis.dilation), narrow(axis.before)};
}

inline WindowGeometry window_geometry(const Pool2dGeometry& g) {
  return {g.batch,
          axis_geometry(g.h),
          axis_geometry(g.w),
          static_cast<int32_t>(g.channels),
          static_cast<int32_t>(g.channels),
          1};
}

inline WindowGeometry window_geometry(const Conv2dGeometry& g) {
  return {g.batch,
          axis_geometry(g.h),
          axis_geometry(g.w),
          static_cast<int32_t>(g.in_channels),
          static_cast<int32_t>(g.out_channels),
          static_cast<int32_t>(g.groups)};
}

}  // namespace trireme::cuda
