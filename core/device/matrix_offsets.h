// Where the matrices of a batched product lie.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor/shape.h"

namespace trireme {

// Element offsets of the matrices (last two axes) of `shape` when its leading axes are broadcast to
// those of `y`: one for each matrix of y, in row-major order.
std::vector<int64_t> matrix_offsets(const Shape& shape, const Shape& y);

}  // namespace trireme
