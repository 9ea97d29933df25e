#include "core/base/batch_share.h"

#include <bit>

#include "core/base/error.h"

namespace trireme {

RowRange batch_share(int64_t rows, int64_t index, int64_t count) {
  TRIREME_CHECK(rows >= 0 && index >= 0 && index < count, "part ", index, " of ", count);
  if (!std::has_single_bit(static_cast<uint64_t>(count))) {
    return {rows * index / count, rows * (index + 1) / count};
  }
  RowRange range{0, rows};
  for (int64_t half = count / 2; half > 0; half /= 2) {
    const int64_t middle = range.begin + (range.size() + 1) / 2;
    (index & half) != 0 ? range.begin = middle : range.end = middle;
  }
  return range;
}

}  // namespace trireme
