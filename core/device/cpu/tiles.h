// The inner loops of small_convolution: tiles of sums held in AVX-512 registers. Private to this
// folder.
//
// REQUIRES everywhere: has_avx512(). Packed matrices have rows of `vectors`·16 numbers, filled up
// with zeros, aligned to 64.
#pragma once

#include <cstdint>

namespace trireme::tiles {

inline constexpr int64_t kLanes = 16;  // f32 numbers in a register

// y[m] = Σ over segments s and k of a[m·a_step + s·a_segment + k] · b[s·b_segment + k·vectors·16
// …], for m in [0, rows).
struct DotTile {
  const float* a;
  int64_t a_step, a_segment;
  int64_t segments, k;
  const float* b;
  int64_t b_segment;
  const float* bias;  // a packed row, or null
  bool relu;
  float* y;
  int64_t y_step;
  int64_t columns;  // how many numbers of each row to write, ≤ vectors·16
};

inline constexpr int64_t kMaxDotVectors = 4;
// The most rows that fit the registers beside `vectors` vectors a row.
int64_t max_dot_rows(int64_t vectors);
// REQUIRES: 1 ≤ vectors ≤ kMaxDotVectors, 1 ≤ rows ≤ max_dot_rows(vectors).
void dot_tile(int64_t rows, int64_t vectors, const DotTile& tile);

// The same for one vector of few columns where the rows of `a` begin one number after the other,
// as the windows over an image of one channel do: rows stand in the lanes, so that no lane works on
// columns that there are not.
inline constexpr int64_t kMaxNarrowColumns = 8, kMaxNarrowRows = 2 * kLanes;
inline bool is_narrow(const DotTile& tile) {
  return tile.a_step == 1 && tile.columns <= kMaxNarrowColumns;
}
// REQUIRES: is_narrow(tile), 1 ≤ rows ≤ kMaxNarrowRows.
void narrow_dot_tile(int64_t rows, const DotTile& tile);

// sums[(f·k + j)·vectors·16 …] += Σ over lines l and pixels p of
//   x[(l·x_line + p·x_step) + f·x_filter_row + j] · g[l·g_line + p·g_step …], for f in [0,
//   filter_rows), j in [0, k).
struct OuterTile {
  const float* x;
  int64_t x_line, x_step, x_filter_row;
  const float* g;
  int64_t g_line, g_step;
  int64_t g_columns;  // numbers of g a pixel, ≤ vectors·16
  int64_t lines, pixels;
  float* sums;
  int64_t sums_filter_row;  // distance between the sums of neighbouring f
};

inline constexpr int64_t kMaxOuterVectors = 2;
// The most columns k of a tile with `filter_rows` (1, 3 or 5); 0 when there is no such tile.
int64_t max_outer_columns(int64_t filter_rows, int64_t vectors);
void outer_tile(int64_t filter_rows, int64_t k, int64_t vectors, const OuterTile& tile);

// One line of the transpose of an overlapping read: to[i·channels …] = Σ over f of line[o·line_step
// + f·channels …] for every f in [0, window) and o in [0, outputs) with o·stride + f = i + before.
struct OverlapAdd {
  const float* line;
  int64_t line_step, outputs;
  int64_t window, stride, before;
  int64_t channels;  // ≤ kLanes
  float* to;
  int64_t inputs;
};
void overlap_add(const OverlapAdd& add);

}  // namespace trireme::tiles
