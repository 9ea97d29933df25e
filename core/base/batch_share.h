// Who of several workers, or which virtual shard of a batch, has which rows.
#pragma once

#include <cstdint>

namespace trireme {

struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// Part `index` of `count` of `rows` rows. Sizes differ by at most one. When `count` is a power of
// two, parts nest: part i of 2n is a half of part i / 2 of n, so that virtual shards are the same
// rows on 1, 2 or 4 workers.
RowRange batch_share(int64_t rows, int64_t index, int64_t count);

}  // namespace trireme
