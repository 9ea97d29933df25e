// The innermost loops of matrix products and convolutions in bf16, for processors with AVX512_BF16:
// one instruction multiplies 16 pairs of numbers by a pair and adds both products to an f32 sum.
//
// Private to this folder; callers check has_avx512_bf16(). The left factor is read as pairs of
// neighbours wherever they lie; the right one is packed: for each pair of its rows, `vectors`
// vectors of 16 such pairs. Steps are in BFloat16 elements.
#pragma once

#include <cstdint>

#include "core/tensor/dtype.h"

namespace trireme::bf16_tiles {

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kMaxVectors = 4;
// Rows of a packed left factor that lie side by side.
inline constexpr int64_t kPanelRows = 16;

// sum[r] = start[r] + Σ over segments s and pairs p of
//   a[r·a_row + s·a_segment + p·a_pair …] · b[s·b_segment + p·vectors·32 …], for r in [0, rows).
struct Tile {
  const BFloat16* a;
  int64_t a_row, a_pair, a_segment;
  int64_t segments, pairs;
  const BFloat16* b;
  int64_t b_segment;
  // Where the sums start: rows of vectors·16 numbers in f32, `sums_row` apart; null: at the bias.
  const float* start = nullptr;
  const float* bias = nullptr;  // vectors·16 numbers; null: zeros
  // Where they go, the first that is set:
  float* sums = nullptr;  // as they start
  int64_t sums_row = 0;
  BFloat16* y = nullptr;       // rounded, after relu where asked for
  float* wide_y = nullptr;     // as they are
  float* updated_y = nullptr;  // y −= rate · sum
  int64_t y_row = 0;
  int64_t columns = 0;  // of a row of y, ≤ vectors·16
  bool relu = false;
  float rate = 0;
};

// The most rows that fit the registers beside `vectors` vectors a row.
int64_t max_rows(int64_t vectors);
// REQUIRES: 1 ≤ vectors ≤ kMaxVectors, 1 ≤ rows ≤ max_rows(vectors).
void run(int64_t rows, int64_t vectors, const Tile& tile);

// to[2i] = first[i], to[2i + 1] = second[i] (null: 0) for i in [0, count).
void interleave(const BFloat16* first, const BFloat16* second, int64_t count, BFloat16* to);

// Packs a right factor of `k` rows and `columns` columns for tiles of `vectors` vectors, zeros
// where there is nothing; an odd k is filled up. Row q is at b + q·step; with `transposed`, row q's
// column c is at b + c·step + q.
void pack_right(const BFloat16* b, int64_t step, bool transposed, int64_t k, int64_t columns,
                int64_t vectors, BFloat16* to);

// Packs the transpose of a left factor, which has `k` rows of `m` numbers `step` apart, in panels
// of kPanelRows of its columns: to[panel][pair of k][column in panel][2].
void pack_left(const BFloat16* a, int64_t step, int64_t k, int64_t m, BFloat16* to);

}  // namespace trireme::bf16_tiles
