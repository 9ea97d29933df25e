// Attention whose products are in bf16 with f32 sums, for processors with AVX512_BF16. Shares and
// their gradients are rounded to bf16 before they weigh anything; sums and the softmax are f32.
// Private to this folder.
#pragma once

#include "core/device/kernel_spec.h"

namespace trireme::bf16_attention {

// Whether this processor can, and heads are of a size for it. `first`: the input from which on the
// operands stand.
bool suits(const KernelSpec& spec, int first);
PreparedKernel forward(const KernelSpec& spec);   // REQUIRES: suits(spec, 0)
PreparedKernel backward(const KernelSpec& spec);  // REQUIRES: suits(spec, 3)

}  // namespace trireme::bf16_attention
