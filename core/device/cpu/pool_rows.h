// Max pooling of f32 and bf16 whose windows neither overlap nor reach over the edge, for processors
// with AVX-512: masked vectors keep the few channels of an early layer (6, 16) as quick as many.
#pragma once

#include "core/device/kernel_spec.h"
#include "core/ops/window.h"

namespace trireme::pool_rows {

// Whether the kernels below cover these sizes on this processor.
bool suits(const Pool2dGeometry& g);

// As MaxPool2d and MaxPool2dGrad, with positions u8; T is float or BFloat16. REQUIRES: suits(g).
template <typename T>
PreparedKernel max_pool(const Pool2dGeometry& g);
template <typename T>
PreparedKernel max_pool_grad(const Pool2dGeometry& g);

}  // namespace trireme::pool_rows
