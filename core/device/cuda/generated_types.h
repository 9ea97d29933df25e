// The types that generated code stores and computes numbers in, and literals of them. Private to
// core/device/cuda.
#pragma once

#include <string>
#include <string_view>

#include "core/tensor/dtype.h"

namespace trireme::cuda {

std::string_view storage_type(DType dtype);  // of an element in memory
std::string_view value_type(DType dtype);    // of a value between ops
std::string literal(DType dtype, double value);

// T of a formula (ElementwiseFormula), T without a sign, and how functions of it are called.
struct FormulaType {
  std::string_view suffix, type, no_sign;
};
FormulaType formula_type(DType dtype);

}  // namespace trireme::cuda
