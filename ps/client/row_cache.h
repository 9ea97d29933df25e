// Rows of sparse tables that this worker pulled, for as long as they may be used again.
//
// Bounded: what was not asked for in the last while goes. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/thread_annotations.h"

namespace trireme::ps {

class RowCache {
 public:
  // Rows are used up to `staleness` steps after the one that they were pulled for.
  RowCache(int staleness, size_t most_bytes = size_t{256} << 20);

  // Copies the rows that are there to their places in `rows` [keys, dim]; returns the places of the
  // others, in order.
  std::vector<uint32_t> find(int table, int64_t dim, std::span<const int64_t> keys, int64_t step,
                             float* rows) EXCLUDES(mutex_);
  // Rows that were pulled for `step`: `rows` [keys, dim] at `places`.
  void add(int table, int64_t dim, std::span<const int64_t> keys, std::span<const uint32_t> places,
           int64_t step, const float* rows) EXCLUDES(mutex_);

 private:
  struct Row {
    int64_t step = 0;
    size_t begin = 0;  // in the generation's values
  };
  // Two of them: rows move from the old to the young one when they are pulled anew, and the old
  // one goes as a whole when the young one is full.
  struct Generation {
    std::unordered_map<int64_t, Row> rows;
    std::vector<float> values;
  };
  struct Table {
    Generation young, old;
  };

  const int staleness_;
  const size_t most_bytes_;  // of a generation
  Mutex mutex_;
  std::unordered_map<int, Table> tables_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
