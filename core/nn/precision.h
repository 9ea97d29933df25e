// What a model computes in: f32, or products in a 16-bit float beside f32 variables (see
// core/passes/mixed_precision.h).
#pragma once

#include <string_view>

#include "core/tensor/dtype.h"

namespace trireme::nn {

enum class Precision { kFloat32, kMixedBFloat16, kMixedFloat16 };

// Keras's names of such policies, "float32", "mixed_bfloat16", "mixed_float16", or the short ones
// "f32", "bf16", "f16". Throws Error{kInvalidArgument} listing those for any other.
Precision precision_from_name(std::string_view name);
std::string_view name(Precision precision);  // Keras's

// What products are computed in.
DType product_dtype(Precision precision);

}  // namespace trireme::nn
