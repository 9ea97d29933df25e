// What the host tells kernels/shaping.cu: the same layout for both.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

constexpr int kMaxMoveAxes = 8;

// Moves a box: element c of the output is element c − before of the input where that exists, else
// 0. Axes from the outermost to the innermost.
struct BoxMove {
  int rank;
  int64_t count;                 // of the output
  int64_t output[kMaxMoveAxes];  // sizes
  int64_t input[kMaxMoveAxes];   // sizes
  int64_t before[kMaxMoveAxes];  // < 0: what is cut off
};

// A transposition as matrices: each of `matrices` (by the other axes) has `rows` × `columns`; its
// columns lie side by side in the input, its rows in the output.
struct TileMove {
  int rank;  // of the other axes
  int64_t matrices, rows, columns;
  int64_t row_stride;     // in the input, from row to row
  int64_t column_stride;  // in the output, from column to column
  int64_t sizes[kMaxMoveAxes], from[kMaxMoveAxes], to[kMaxMoveAxes];  // of the others, and strides
};

// Elements whose place in the input is given by strides.
struct StridedMove {
  int rank;
  int64_t count;
  int64_t sizes[kMaxMoveAxes], from[kMaxMoveAxes];
};

constexpr int kMaxConcatParts = 48;

// Rows of the output are rows of the parts, one after the other. A launch moves some of the parts.
struct ConcatMove {
  int parts;
  int64_t rows;
  int64_t row_size;              // of the output
  int64_t begin;                 // where in an output row these parts begin,
  int64_t end[kMaxConcatParts];  // and from there, where part i ends
  const void* from[kMaxConcatParts];
};

}  // namespace trireme::cuda
