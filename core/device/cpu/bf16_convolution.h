// Convolutions in bf16 with f32 sums, NHWC and HWIO, for processors with AVX512_BF16.
//
// As in small_convolution.h nothing is unfolded: for a fixed filter row the patch under an output
// pixel lies in one piece in a padded image, and a convolution is a sum over filter rows of matrix
// products whose left factor is read there. The gradient of the image is the convolution of the
// gradient, padded, with the filter turned round. That of the filter is a sum over pairs of
// neighbouring pixels.
//
// Preparing and running as every kernel (kernel.h). The suits_… functions tell whether a kernel
// covers the sizes; they are false on processors without AVX512_BF16.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"
#include "core/ops/window.h"

namespace trireme::bf16_convolution {

bool suits_forward(const Conv2dGeometry& g, std::string_view activation);
bool suits_backward_input(const Conv2dGeometry& g);
bool suits_backward_filter(const Conv2dGeometry& g);

// Inputs: image, filter, bias where there is one. Output: y. All bf16.
PreparedKernel forward(const Conv2dGeometry& g, bool bias, bool relu);
// Inputs: filter, gradient of y. Output: gradient of the image. All bf16.
PreparedKernel backward_input(const Conv2dGeometry& g);
// Inputs: image, gradient of y, bf16. Output: gradient of the filter, bf16, or f32 when `wide`.
PreparedKernel backward_filter(const Conv2dGeometry& g, bool wide);

}  // namespace trireme::bf16_convolution
