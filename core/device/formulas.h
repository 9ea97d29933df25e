// Every row of core/ops/elementwise_rows.h as a struct with a function of numbers, for the files
// that make kernels of them: trireme::formulas::AddFormula and so on.
#pragma once

#include "core/ops/elementwise_formula.h"

namespace trireme::formulas {
namespace {

#define TRIREME_UNARY(op, function, numbers, precision, real, integer, ...) \
  TRIREME_UNARY_FORMULA(op, numbers, real, integer)
#define TRIREME_BINARY(op, function, numbers, precision, order, real, integer, ...) \
  TRIREME_BINARY_FORMULA(op, numbers, real, integer)
#include "core/ops/elementwise_rows.h"

}  // namespace
}  // namespace trireme::formulas
