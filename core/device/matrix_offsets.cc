#include "core/device/matrix_offsets.h"

namespace trireme {

std::vector<int64_t> matrix_offsets(const Shape& shape, const Shape& y) {
  const Shape leading = y.first(y.rank() - 2);
  std::vector<int64_t> offsets(static_cast<size_t>(leading.elements()), 0);
  for (size_t i = 0; i < offsets.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), stride = shape.dim(-1) * shape.dim(-2);
    for (int axis = 1; axis <= shape.rank() - 2; ++axis) {
      const int64_t size = shape.dim(-axis - 2);
      if (size != 1) offsets[i] += rest % leading.dim(-axis) * stride;
      rest /= leading.dim(-axis);
      stride *= size;
    }
  }
  return offsets;
}

}  // namespace trireme
