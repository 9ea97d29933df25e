// Arithmetic on sizes that come from a job, a file or a command line.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/error.h"

namespace trireme {

// a · b and a + b. Throw Error{kInvalidArgument} naming `what` when the result does not fit.
inline int64_t checked_multiply(int64_t a, int64_t b, std::string_view what) {
  int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  throw invalid_argument(what, ": ", a, " × ", b, " is more than a 64-bit number holds");
}
inline int64_t checked_add(int64_t a, int64_t b, std::string_view what) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  throw invalid_argument(what, ": ", a, " + ", b, " is more than a 64-bit number holds");
}

}  // namespace trireme
