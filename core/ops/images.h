// Functions over images and sequences of vectors that are made of other ops, so that they have
// kernels on every device and gradients of any order. Images are [batch, height, width, channels],
// sequences [batch, steps, channels], volumes [batch, depth, height, width, channels]; all sizes
// but the batch are known. Errors as in ops.h.
#pragma once

#include <vector>

#include "core/ops/ops.h"

namespace trireme::ops {

// The transposed convolution: that of which conv2d(y, filter, options) has the shape of `input`,
// for y of `height` and `width`. input: [batch, h', w', out]; filter: [fh, fw, in / groups, out];
// the result has `in` channels. (convolution.cc)
Value conv2d_transpose(Value input, Value filter, int64_t height, int64_t width,
                       const Conv2dOptions& options = {});

// Bilinear and nearest as in tf.image.resize: pixels are squares with half-pixel centres, and at
// the border the nearest pixel counts.
enum class Interpolation { kNearest, kBilinear };
Value resize2d(Value images, int64_t height, int64_t width, Interpolation interpolation);

// `images` as `transforms` say, an output of `height` by `width`: f32 [batch, 6], with which the
// pixel (x, y) is that of the image at (a·x + b·y + c, d·x + e·y + f). Has no gradient.
// (image_transform.cc)
enum class Fill { kConstant, kNearest, kReflect, kWrap };  // what lies outside of an image
struct AffineOptions {
  Interpolation interpolation = Interpolation::kBilinear;
  Fill fill = Fill::kConstant;
  double fill_value = 0;  // of kConstant
};
Value affine_transform(Value images, Value transforms, int64_t height, int64_t width,
                       const AffineOptions& options = {});

// Each index i of axis `axis` with begin ≤ i and (i − begin) divisible by `step`, `count` of them.
Value strided_slice(Value x, int64_t axis, int64_t begin, int64_t step, int64_t count);

}  // namespace trireme::ops
