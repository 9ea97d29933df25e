// Walking over tensors by their indices, one element at a time.
#pragma once

#include <array>

#include "core/device/element.h"
#include "core/device/reference/register.h"

namespace trireme {

using Index = std::array<int64_t, Shape::kMaxRank>;

// body(index, position) for every element of `shape`, in row-major order.
template <typename Body>
void for_each_index(const Shape& shape, Body body) {
  const int64_t elements = shape.elements();
  Index index{};
  for (int64_t position = 0; position < elements; ++position) {
    body(static_cast<const Index&>(index), position);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (++index[static_cast<size_t>(axis)] < shape[axis]) break;
      index[static_cast<size_t>(axis)] = 0;
    }
  }
}

// The position in a tensor of shape `from` of the element that broadcasting puts at `index` of a
// tensor of `rank` axes.
inline int64_t broadcast_position(const Shape& from, int rank, const Index& index) {
  int64_t position = 0;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const int64_t i = from[axis] == 1 ? 0 : index[static_cast<size_t>(axis + rank - from.rank())];
    position = position * from[axis] + i;
  }
  return position;
}

}  // namespace trireme
