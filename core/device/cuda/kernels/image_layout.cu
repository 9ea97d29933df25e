// What stands between Trireme's layouts and cuDNN's: filters transposed, images padded or cropped
// on their lower and right side. They only move bytes, so there is one for each size of element.
#include "core/device/cuda/kernels/window.cuh"

using namespace trireme::cuda;

namespace {

constexpr int kTile = 32;

// to[column][row] = from[row][column], tile by tile through shared memory so that both sides are
// read and written along rows. A filter [h, w, in, out] is a matrix of out columns, and cuDNN's
// [out, h, w, in] its transpose. REQUIRES: blocks of 256 threads.
template <typename T>
TRIREME_DEVICE void transpose(const T* from, T* to, int64_t rows, int64_t columns) {
  __shared__ T tile[kTile][kTile + 1];  // one more, so that a column is in 32 banks
  const int64_t tiles_across = (columns + kTile - 1) / kTile;
  const int64_t tiles = (rows + kTile - 1) / kTile * tiles_across;
  const int across = static_cast<int>(threadIdx.x) % kTile;
  const int down = static_cast<int>(threadIdx.x) / kTile, step = 256 / kTile;
  for (int64_t i = blockIdx.x; i < tiles; i += gridDim.x) {
    int64_t tile_row = i;
    const int64_t left = take(tile_row, tiles_across) * kTile, top = tile_row * kTile;
    for (int y = down; y < kTile; y += step) {
      if (top + y < rows && left + across < columns) {
        tile[y][across] = from[(top + y) * columns + left + across];
      }
    }
    __syncthreads();
    for (int y = down; y < kTile; y += step) {
      if (left + y < columns && top + across < rows) {
        to[(left + y) * rows + top + across] = tile[across][y];
      }
    }
    __syncthreads();
  }
}

// Images of to_rows rows, each of to_width units, from images of from_rows and from_width: what the
// source lacks is zero, what it has too much is left out.
template <typename Unit>
TRIREME_DEVICE void resize(const Unit* from, Unit* to, int64_t images, int64_t from_rows,
                           int64_t from_width, int64_t to_rows, int64_t to_width) {
  const int64_t count = images * to_rows * to_width;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t image = i;
    const int64_t column = take(image, to_width), row = take(image, to_rows);
    to[i] = row < from_rows && column < from_width
                ? from[(image * from_rows + row) * from_width + column]
                : Unit{};
  }
}

}  // namespace

#define TRIREME_IMAGE_LAYOUT(bytes, Unit)                                        \
  TRIREME_KERNEL(resize_images_##bytes,                                          \
                 (const Unit* from, Unit* to, int64_t images, int64_t from_rows, \
                  int64_t from_width, int64_t to_rows, int64_t to_width)) {      \
    resize(from, to, images, from_rows, from_width, to_rows, to_width);          \
  }
#define TRIREME_TRANSPOSE(bytes, T)                                       \
  TRIREME_KERNEL(transpose_filter_##bytes,                                \
                 (const T* from, T* to, int64_t rows, int64_t columns)) { \
    transpose(from, to, rows, columns);                                   \
  }

using Bytes8 = Vector<uint32_t, 2>;
using Bytes16 = Vector<uint32_t, 4>;
TRIREME_IMAGE_LAYOUT(2, uint16_t)
TRIREME_IMAGE_LAYOUT(4, uint32_t)
TRIREME_IMAGE_LAYOUT(8, Bytes8)
TRIREME_IMAGE_LAYOUT(16, Bytes16)
TRIREME_TRANSPOSE(2, uint16_t)
TRIREME_TRANSPOSE(4, uint32_t)
