// What kernels are told of row numbers, and the layout of sorted ones: for the host and for
// kernels.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

// Row numbers in the card's memory, valid in [0, rows).
struct RowIndices {
  const void* address;
  int64_t count, rows;
  void* fault;  // told of one that is out of range, with `site`
  uint32_t site;
  int32_t is_i64;
};

// Row numbers by size, those that are equal by position. A key of `rows` is one that was out of
// range.
struct SortedRows {
  const uint32_t* keys;
  const uint32_t* positions;
  int64_t count, rows;
};

// Up to so many row numbers are compared each with each; more are sorted.
constexpr int64_t kComparedRows = 4096;
// So many row numbers does a block sort at a time, by so many digits.
constexpr int64_t kSortTile = 4096;
constexpr int kSortDigits = 256;
// Rows that follow each other, sorted, and are of one number are added up by runs of so many.
constexpr int64_t kRun = 64;

}  // namespace trireme::cuda
