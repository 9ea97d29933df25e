// Asks the memory for a row before it is needed.
#pragma once

#include <algorithm>
#include <cstddef>

namespace trireme::ps {

// How many rows before. What hides the way to the memory without filling the buffers of the core.
inline constexpr size_t kRowsAhead = 12;

// For writing. Of a long row the beginning: the processor notices the rest by itself.
inline void prefetch_row(const std::byte* row, size_t bytes) {
  constexpr size_t kLine = 64, kMost = 8 * kLine;
  const size_t end = std::min(bytes, kMost);
  for (size_t offset = 0; offset < end; offset += kLine) __builtin_prefetch(row + offset, 1);
  __builtin_prefetch(row + end - 1, 1);
}

}  // namespace trireme::ps
