// Casts that need not be: what mixed precision and the gradients of its casts leave behind.
//
//   Cast(Cast(x, f32), t)  becomes  x  where x is of type t, f16 or bf16: f32 holds all of them;
//   Cast(MatMul(a, b), f32)  becomes  WideMatMul(a, b)  where nobody else sees the product, and so
//   for Conv2dBackwardFilter: its sums are f32 anyhow, and are not rounded in between.
#pragma once

#include <functional>
#include <string_view>

#include "core/passes/program.h"

namespace trireme {

// Whether every device on which it may be placed has a kernel of the op for that dtype.
using HasKernel = std::function<bool(std::string_view op, DType dtype)>;

// Without `has_kernel` no op is replaced by another.
Program simplify_casts(Program program, const HasKernel& has_kernel);

}  // namespace trireme
