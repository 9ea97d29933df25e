// The one table that says what each elementwise op computes, as an expression of CUDA C++, and the
// types that it computes in. Private to core/device/cuda.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/tensor/dtype.h"

namespace trireme::cuda {

// What an op computes from a, b and c of type T; U is T without a sign, whose overflow is defined.
// Empty: not for such numbers. u8 is computed as i32 and cut off after.
struct Formula {
  std::string_view op;
  int inputs;
  std::string_view real, integer, boolean = "";
  bool gives_bool = false;
};

// In place of a formula: written out at each step.
inline constexpr std::string_view kSameForAll = "same";

std::span<const Formula> formulas();
const Formula* find_formula(std::string_view op);  // null: there is none
std::string_view formula_for(const Formula& formula, DType dtype);
// integer_power<T, U>(a, b), which a formula calls.
std::string_view integer_power_source();

std::string_view storage_type(DType dtype);  // of an element in memory
std::string_view value_type(DType dtype);    // of a value between ops
std::string literal(DType dtype, double value);

// T of a formula, T without a sign, and how functions of it are called.
struct FormulaType {
  std::string_view suffix, type, no_sign;
};
FormulaType formula_type(DType dtype);

}  // namespace trireme::cuda
