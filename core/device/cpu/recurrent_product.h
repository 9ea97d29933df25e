// The product of a step of a recurrence: the states of some examples times a matrix that stays the
// same for all steps, which is packed once a run. Private to this folder.
//
// The number of rows that are multiplied at once changes no bit of what a row gives.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace trireme::recurrent {

inline constexpr int64_t kLanes = 16, kMaxVectors = 4;
inline constexpr int64_t kMostColumns = kLanes * kMaxVectors;  // of a block
inline constexpr int64_t kMaxRows = 14;                        // that are multiplied at once

// Columns of the matrix that are multiplied together: vectors of up to 16 of them.
struct Block {
  int64_t vectors = 0;
  std::array<int64_t, kMaxVectors> first{};  // column of each vector
  int64_t lanes = 0;                         // columns of the last vector; of each, by unit
  int64_t offset = 0;                        // in the packed matrix
  int64_t begin = 0;                         // first unit or column of the block
};

// How a matrix [k, n] is packed.
class Packing {
 public:
  // A block has the columns of 16 units of each of `groups` gates: those of gate g begin at
  // (first_gate + g)·units.
  static Packing by_unit(int64_t k, int64_t groups, int64_t units, int64_t first_gate = 0);
  // A block has 64 columns that follow each other.
  static Packing plain(int64_t k, int64_t columns);

  int64_t k() const { return k_; }
  int64_t elements() const { return elements_; }
  const std::vector<Block>& blocks() const { return blocks_; }
  int64_t max_rows(const Block& block) const;

  // `to`: elements() numbers, aligned to 64.
  template <typename T>
  void pack(const T* matrix, int64_t row_step, int64_t column_step, T* to) const;
  // y[row·kMostColumns + 16·v + lane] of `rows` rows. REQUIRES: rows ≤ max_rows(block).
  template <typename T>
  void multiply(const Block& block, const T* packed, const T* a, int64_t a_step, int64_t rows,
                T* y) const;

 private:
  void add(Block block);

  int64_t k_ = 0, elements_ = 0;
  std::vector<Block> blocks_;
};

// body(first, rows) for parts of [begin, end) of about the same size, of at most `most` rows.
template <typename Body>
void for_row_tiles(int64_t begin, int64_t end, int64_t most, Body body) {
  const int64_t rows = end - begin, tiles = (rows + most - 1) / most;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t first = begin + rows * i / tiles, last = begin + rows * (i + 1) / tiles;
    body(first, last - first);
  }
}

// to[row] += a[row] · matrix, of rows [begin, end); those for which skip(row) is true stay as they
// are.
template <typename T, typename Skip>
void add_product(const Packing& packing, const T* packed, const T* a, int64_t a_step, T* to,
                 int64_t to_step, int64_t begin, int64_t end, Skip skip) {
  alignas(64) T y[kMaxRows * kMostColumns];
  for (const Block& block : packing.blocks()) {
    const int64_t columns = (block.vectors - 1) * kLanes + block.lanes;
    for_row_tiles(begin, end, packing.max_rows(block), [&](int64_t first, int64_t rows) {
      packing.multiply(block, packed, a + first * a_step, a_step, rows, y);
      for (int64_t i = 0; i < rows; ++i) {
        if (skip(first + i)) continue;
        T* const sums = to + (first + i) * to_step + block.begin;
        for (int64_t j = 0; j < columns; ++j) sums[j] += y[i * kMostColumns + j];
      }
    });
  }
}

}  // namespace trireme::recurrent
