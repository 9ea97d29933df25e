// Convolutions whose channels are too few to fill oneDNN's blocks: f32, NHWC, HWIO, for processors
// with AVX-512.
//
// For a fixed filter row fy, the products of an output pixel are one dot product over (fx, in),
// because the patch of the image lies in one piece: it starts at column x·stride and is
// window·in_channels numbers long, and neighbouring patches overlap in memory. So a convolution is
// a sum over fy of matrix products whose left matrix is read where the image lies: nothing is
// unfolded. Out channels (or, for the input's gradient, fx·in) fill the vector registers.
//
// Preparing and running as every kernel (kernel.h). The suits_… functions tell whether a kernel
// covers the sizes and is expected to be faster than oneDNN; they are false on processors without
// AVX-512.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"
#include "core/ops/window.h"

namespace trireme::small_convolution {

bool suits_forward(const Conv2dGeometry& g, std::string_view activation);
bool suits_backward_input(const Conv2dGeometry& g);
bool suits_backward_filter(const Conv2dGeometry& g);

// Inputs: image, filter, bias where there is one. Output: y.
PreparedKernel forward(const Conv2dGeometry& g, bool bias, bool relu);
// Inputs: filter, gradient of y. Output: gradient of the image.
PreparedKernel backward_input(const Conv2dGeometry& g);
// Inputs: image, gradient of y. Output: gradient of the filter.
PreparedKernel backward_filter(const Conv2dGeometry& g);

}  // namespace trireme::small_convolution
