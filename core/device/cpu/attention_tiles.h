// The inner loops of attention over one block of queries and keys: scores, softmax, and products
// with what they weigh. Private to this folder.
//
// A block of scores is a matrix of kQueries rows, kKeys floats apart. Other matrices have rows that
// are a multiple of kColumns floats long, filled up with zeros, and as many rows as a multiple of
// kRowUnit. Element (query, key) of a block counts where key < limit(query); others before width()
// are 0 after forward_row() and backward_row().
#pragma once

#include <cstdint>

namespace trireme::attention_tiles {

inline constexpr int64_t kQueries = 48, kKeys = 192;
inline constexpr int64_t kRowUnit = 24;  // all heights of tiles divide it
inline constexpr int64_t kColumns = 16;  // all widths of vectors divide it

// Which elements of a block count.
struct Block {
  int64_t queries, keys;  // ≤ kQueries, kKeys
  bool causal;
  // Key j counts for query i where j ≤ i + diagonal, if causal.
  int64_t diagonal;

  int64_t limit(int64_t query) const {
    if (!causal) return keys;
    const int64_t visible = query + diagonal + 1;
    return visible < 0 ? 0 : visible < keys ? visible : keys;
  }
  int64_t width() const { return (keys + kQueries - 1) / kQueries * kQueries; }
  // The first query that a key counts for.
  int64_t first_query(int64_t key) const {
    if (!causal || key <= diagonal) return 0;
    return key - diagonal;
  }
};

struct Functions {
  // s[i][j] = Σ over c of a[c][i]·b[c][j] for the elements that count, and some others.
  // a: `numbers` rows of kQueries; b: `numbers` rows `b_row` apart.
  void (*products)(const Block& block, const float* a, const float* b, int64_t b_row,
                   int64_t numbers, float* s);
  // y[i] += Σ over j of p[i][j]·x[j]; x, y: rows of `columns`.
  void (*add_weighted)(const Block& block, const float* p, const float* x, int64_t columns,
                       float* y);
  // y[j] += Σ over i of p[i][j]·x[i]; x, y: rows of `columns`.
  void (*add_transposed)(const Block& block, const float* p, const float* x, int64_t columns,
                         float* y);
  // s = e^(scale·s − most), where most is the largest of scale·s and of what it was; returns the
  // sum of s, and adapts `most`. −∞: nothing counted so far. mask: which keys count besides; null:
  // all.
  float (*forward_row)(float* s, int64_t limit, int64_t width, float scale, const bool* mask,
                       float& most);
  // p = e^(scale·s − log_sum_exp) over s, ds = p·(ds − centre) over ds.
  void (*backward_row)(float* s, float* ds, int64_t limit, int64_t width, float scale,
                       const bool* mask, float log_sum_exp, float centre);
};
// Those for this processor.
const Functions& functions();

// to[c][r] = from[r][c] for r in [0, rows), c in [0, columns), both multiples of 8; rows of `to`
// are `to_row` apart.
void transpose(const float* from, int64_t rows, int64_t columns, float* to, int64_t to_row);

}  // namespace trireme::attention_tiles
