// Which random number belongs to which element, on every device: a pure function of (seed, step,
// example, position).
//
// Element p of the row of example e takes word p mod 4 of the Philox block with key = seed, high
// counter = step and low counter = e · blocks_per_row + p/4.
#pragma once

#include <cmath>

#include "core/base/philox.h"
#include "core/tensor/shape.h"

namespace trireme {

struct RandomRows {
  int64_t rows, row_elements, blocks_per_row;

  explicit RandomRows(const Shape& shape)
      : rows(shape.rank() == 0 ? 1 : shape[0]),
        row_elements(shape.rank() == 0 ? 1 : shape.last(shape.rank() - 1).elements()),
        blocks_per_row((row_elements + 3) / 4) {}

  // `key` as the ops take it: {step, index of the example in row 0}. Counters wrap around, as
  // unsigned numbers do.
  TRIREME_HOST_DEVICE uint64_t counter(const int64_t* key, int64_t row, int64_t block) const {
    return (static_cast<uint64_t>(key[1]) + static_cast<uint64_t>(row)) *
               static_cast<uint64_t>(blocks_per_row) +
           static_cast<uint64_t>(block);
  }
};

// Standard normal numbers from two uniform words (Box and Muller 1958); the first is shifted off 0,
// where log is infinite.
struct NormalPair {
  float first, second;
};
TRIREME_HOST_DEVICE inline NormalPair normal_pair(uint32_t a, uint32_t b) {
  const float radius = std::sqrt(-2.0f * std::log(uniform_float(a) + 0x1p-25f));
  const float angle = 6.2831853071795864769f * uniform_float(b);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// An element is dropped when its word is below this.
inline uint64_t dropout_threshold(double rate) { return static_cast<uint64_t>(rate * 0x1p32); }

}  // namespace trireme
