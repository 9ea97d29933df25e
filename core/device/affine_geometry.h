// The sizes of an AffineTransform from what its kernel is prepared for.
#pragma once

#include "core/device/affine_pixels.h"
#include "core/device/kernel_spec.h"

namespace trireme {

inline AffineGeometry affine_geometry(const KernelSpec& spec) {
  const Shape &in = spec.input_shape(0), &out = spec.output_shape();
  const auto& fill = spec.attribute<std::string>("fill");
  return {.images = in[0],
          .in_h = in[1],
          .in_w = in[2],
          .out_h = out[1],
          .out_w = out[2],
          .channels = in[3],
          .bilinear = spec.attribute<std::string>("interpolation") == "BILINEAR" ? 1 : 0,
          .fill = fill == "CONSTANT"  ? ImageFill::kConstant
                  : fill == "NEAREST" ? ImageFill::kNearest
                  : fill == "REFLECT" ? ImageFill::kReflect
                                      : ImageFill::kWrap,
          .fill_value = spec.attribute<double>("fill_value")};
}

}  // namespace trireme
