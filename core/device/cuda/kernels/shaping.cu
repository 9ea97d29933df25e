// Moving elements without computing. Words of 1 to 16 bytes stand for elements of any type, and
// where rows allow it for several at once.
#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/shaping.h"

namespace trireme::cuda {
namespace {

using Word16 = Vector<uint64_t, 2>;

constexpr int kTile = 32;
constexpr int kThreads = 256;  // of a block that transposes

// A division by a number of 32 bits costs half of one by 64, and most tensors are small enough.
template <typename Index>
struct Position {
  Index rest;
  TRIREME_DEVICE int64_t next(int64_t size) {
    const Index n = static_cast<Index>(size), result = rest % n;
    rest /= n;
    return static_cast<int64_t>(result);
  }
};

template <typename Word, typename Index>
TRIREME_DEVICE void move_box(const Word* from, Word* to, const BoxMove& move) {
  for (int64_t i = global_thread(); i < move.count; i += global_threads()) {
    Position<Index> position{static_cast<Index>(i)};
    int64_t at = 0, stride = 1;
    bool is_inside = true;
    for (int axis = move.rank - 1; axis >= 0; --axis) {
      const int64_t c = position.next(move.output[axis]) - move.before[axis];
      is_inside = is_inside && c >= 0 && c < move.input[axis];
      at += c * stride;
      stride *= move.input[axis];
    }
    to[i] = is_inside ? from[at] : Word{};
  }
}

template <typename Word, typename Index>
TRIREME_DEVICE void move_strided(const Word* from, Word* to, const StridedMove& move) {
  for (int64_t i = global_thread(); i < move.count; i += global_threads()) {
    Position<Index> position{static_cast<Index>(i)};
    int64_t at = 0;
    for (int axis = move.rank - 1; axis >= 0; --axis)
      at += position.next(move.sizes[axis]) * move.from[axis];
    to[i] = from[at];
  }
}

// Through shared memory, so that reading and writing both go along rows of memory.
template <typename Word>
TRIREME_DEVICE void move_tiles(const Word* from, Word* to, const TileMove& move,
                               Word (*tile)[kTile + 1]) {
  const int64_t across = (move.columns + kTile - 1) / kTile, down = (move.rows + kTile - 1) / kTile;
  const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
  for (int64_t item = blockIdx.x; item < move.matrices * across * down; item += gridDim.x) {
    const int64_t column = item % across * kTile, row = item / across % down * kTile;
    Position<uint64_t> position{static_cast<uint64_t>(item / across / down)};
    int64_t read = 0, write = 0;
    for (int axis = move.rank - 1; axis >= 0; --axis) {
      const int64_t c = position.next(move.sizes[axis]);
      read += c * move.from[axis];
      write += c * move.to[axis];
    }
    __syncthreads();  // the tile before may still be read
    if (column + x < move.columns) {
      for (int k = y; k < kTile && row + k < move.rows; k += kThreads / kTile)
        tile[k][x] = from[read + (row + k) * move.row_stride + column + x];
    }
    __syncthreads();
    if (row + x < move.rows) {
      for (int k = y; k < kTile && column + k < move.columns; k += kThreads / kTile)
        to[write + (column + k) * move.column_stride + row + x] = tile[x][k];
    }
  }
}

template <typename Word, typename Index>
TRIREME_DEVICE void concat(Word* to, const ConcatMove& move) {
  const int64_t width = move.end[move.parts - 1];
  for (int64_t i = global_thread(); i < move.rows * width; i += global_threads()) {
    Position<Index> position{static_cast<Index>(i)};
    const int64_t at = position.next(width), row = static_cast<int64_t>(position.rest);
    int first = 0, last = move.parts - 1;  // the part is one of these
    while (first < last) {
      const int middle = (first + last) / 2;
      if (at < move.end[middle]) {
        last = middle;
      } else {
        first = middle + 1;
      }
    }
    const int64_t begin = first == 0 ? 0 : move.end[first - 1];
    const Word* from = static_cast<const Word*>(move.from[first]);
    to[row * move.row_size + move.begin + at] = from[row * (move.end[first] - begin) + at - begin];
  }
}

}  // namespace
}  // namespace trireme::cuda

using namespace trireme::cuda;

// `count` words, none of them too far for an index of 32 bits.
TRIREME_DEVICE bool is_short(int64_t count) { return count < INT32_MAX; }

#define MOVES(bytes, Word)                                                               \
  TRIREME_KERNEL(move_box_##bytes, (const Word* from, Word* to, BoxMove move)) {         \
    is_short(move.count) ? move_box<Word, uint32_t>(from, to, move)                      \
                         : move_box<Word, uint64_t>(from, to, move);                     \
  }                                                                                      \
  TRIREME_KERNEL(move_strided_##bytes, (const Word* from, Word* to, StridedMove move)) { \
    is_short(move.count) ? move_strided<Word, uint32_t>(from, to, move)                  \
                         : move_strided<Word, uint64_t>(from, to, move);                 \
  }                                                                                      \
  TRIREME_KERNEL(concat_##bytes, (Word * to, ConcatMove move)) {                         \
    is_short(move.rows* move.row_size) ? concat<Word, uint32_t>(to, move)                \
                                       : concat<Word, uint64_t>(to, move);               \
  }

#define TILES(bytes, Word)                                                          \
  TRIREME_KERNEL(move_tiles_##bytes, (const Word* from, Word* to, TileMove move)) { \
    __shared__ Word tile[kTile][kTile + 1];                                         \
    move_tiles<Word>(from, to, move, tile);                                         \
  }

MOVES(1, uint8_t)
MOVES(2, uint16_t)
MOVES(4, uint32_t)
MOVES(8, uint64_t)
MOVES(16, Word16)
TILES(1, uint8_t)
TILES(2, uint16_t)
TILES(4, uint32_t)
TILES(8, uint64_t)
