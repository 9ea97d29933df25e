// Short ways to work with a TableShard.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "ps/table/table_shard.h"

namespace trireme::ps {

using Keys = std::vector<int64_t>;
using Floats = std::vector<float>;

// Its rows are the sums of what was pushed.
inline TableSpec sum_table(int64_t dim) { return {.name = "t", .dim = dim}; }

inline Floats pull(const TableShard& shard, const Keys& keys, Resolution* resolution = nullptr) {
  Floats rows(keys.size() * static_cast<size_t>(shard.spec().dim));
  shard.pull(keys, rows.data(), resolution);
  return rows;
}

// Pushes `value` for all elements. Returns how many keys were not admitted.
inline int64_t add(TableShard& shard, const Keys& keys, float value, int64_t step = 1,
                   Resolution* resolution = nullptr) {
  const Floats gradients(keys.size() * static_cast<size_t>(shard.spec().dim), value);
  return shard.push(keys, gradients.data(), {.step = step}, resolution);
}

inline Keys keys_of(const TableShard& shard) {
  Keys keys;
  shard.for_each([&](const RowView& row) { keys.push_back(row.key); });
  std::sort(keys.begin(), keys.end());
  return keys;
}

inline Keys range(int64_t begin, int64_t end) {
  Keys keys(static_cast<size_t>(end - begin));
  std::iota(keys.begin(), keys.end(), begin);
  return keys;
}

}  // namespace trireme::ps
