// Sorts the row numbers of a sparse gradient in scratch memory, so that entries of one row lie
// together. Private to core/device/cpu.
#pragma once

#include <array>
#include <utility>

#include "core/device/row_indices.h"

namespace trireme::cpu {

struct SparseEntry {
  int64_t row;
  int64_t position;  // in the gradient
};

inline size_t sort_scratch_bytes(const RowIndices& indices) {
  return 2 * static_cast<size_t>(indices.count()) * sizeof(SparseEntry);
}

// The entries by row, those of one row in the order in which they came, so that sums are
// reproducible. Throws invalid_argument when an index is out of range, before anything is changed.
// Radix sort from the lowest digit: as many passes over the entries as the number of rows has
// digits of 11 bits.
inline const SparseEntry* sort_rows(const RowIndices& indices, const KernelArgs& args) {
  constexpr int kDigitBits = 11;
  constexpr int64_t kDigits = int64_t{1} << kDigitBits;
  const int64_t n = indices.count();
  SparseEntry* from = static_cast<SparseEntry*>(args.scratch);
  SparseEntry* to = from + n;
  for (int64_t i = 0; i < n; ++i) from[i] = {indices.at(args, i), i};
  std::array<int64_t, kDigits> begins;
  for (int shift = 0; shift < 63 && (indices.rows() - 1) >> shift > 0; shift += kDigitBits) {
    begins.fill(0);
    for (int64_t i = 0; i < n; ++i)
      ++begins[static_cast<size_t>((from[i].row >> shift) & (kDigits - 1))];
    int64_t begin = 0;
    for (int64_t& count : begins) begin += std::exchange(count, begin);
    for (int64_t i = 0; i < n; ++i) {
      to[begins[static_cast<size_t>((from[i].row >> shift) & (kDigits - 1))]++] = from[i];
    }
    std::swap(from, to);
  }
  return from;
}

}  // namespace trireme::cpu
