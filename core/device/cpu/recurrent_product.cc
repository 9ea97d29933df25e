#include "core/device/cpu/recurrent_product.h"

#include <type_traits>

#include "core/device/cpu/avx512.h"
#include "core/device/cpu/tiles.h"

namespace trireme::recurrent {
namespace {

// Without AVX-512: sums of 16 columns of a few rows, which the compiler keeps in registers.
constexpr int64_t kPlainRows = 4;

template <int64_t kRows, typename T>
void plain_tile(const T* a, int64_t a_step, int64_t k, const T* b, int64_t b_step, T* y) {
  T sums[kRows][kLanes] = {};
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t row = 0; row < kRows; ++row) {
      const T left = a[row * a_step + i];
      for (int64_t j = 0; j < kLanes; ++j) sums[row][j] += left * b[i * b_step + j];
    }
  }
  for (int64_t row = 0; row < kRows; ++row) {
    std::copy_n(sums[row], kLanes, y + row * kMostColumns);
  }
}

template <typename T>
void plain_multiply(const Block& block, int64_t k, const T* b, const T* a, int64_t a_step,
                    int64_t rows, T* y) {
  for (int64_t v = 0; v < block.vectors; ++v) {
    const T* const right = b + v * kLanes;
    const int64_t b_step = block.vectors * kLanes;
    int64_t row = 0;
    for (; row + kPlainRows <= rows; row += kPlainRows) {
      plain_tile<kPlainRows>(a + row * a_step, a_step, k, right, b_step,
                             y + row * kMostColumns + v * kLanes);
    }
    for (; row < rows; ++row) {
      plain_tile<1>(a + row * a_step, a_step, k, right, b_step,
                    y + row * kMostColumns + v * kLanes);
    }
  }
}

}  // namespace

void Packing::add(Block block) {
  block.offset = elements_;
  elements_ += k_ * block.vectors * kLanes;
  blocks_.push_back(block);
}

Packing Packing::by_unit(int64_t k, int64_t groups, int64_t units, int64_t first_gate) {
  Packing packing;
  packing.k_ = k;
  for (int64_t unit = 0; unit < units; unit += kLanes) {
    Block block{.vectors = groups, .lanes = std::min(kLanes, units - unit), .begin = unit};
    for (int64_t g = 0; g < groups; ++g) {
      block.first[static_cast<size_t>(g)] = (first_gate + g) * units + unit;
    }
    packing.add(block);
  }
  return packing;
}

Packing Packing::plain(int64_t k, int64_t columns) {
  Packing packing;
  packing.k_ = k;
  for (int64_t column = 0; column < columns; column += kMostColumns) {
    const int64_t left = std::min(kMostColumns, columns - column);
    Block block{.vectors = (left + kLanes - 1) / kLanes, .begin = column};
    block.lanes = left - (block.vectors - 1) * kLanes;
    for (int64_t v = 0; v < block.vectors; ++v) {
      block.first[static_cast<size_t>(v)] = column + v * kLanes;
    }
    packing.add(block);
  }
  return packing;
}

int64_t Packing::max_rows(const Block& block) const {
  return std::min(kMaxRows, tiles::max_dot_rows(block.vectors));
}

template <typename T>
void Packing::pack(const T* matrix, int64_t row_step, int64_t column_step, T* to) const {
  for (const Block& block : blocks_) {
    T* packed = to + block.offset;
    const bool by_unit = block.vectors > 1 && block.first[1] != block.first[0] + kLanes;
    for (int64_t i = 0; i < k_; ++i) {
      for (int64_t v = 0; v < block.vectors; ++v, packed += kLanes) {
        const bool is_last = by_unit || v + 1 == block.vectors;
        const int64_t lanes = is_last ? block.lanes : kLanes;
        const T* const from =
            matrix + i * row_step + block.first[static_cast<size_t>(v)] * column_step;
        for (int64_t j = 0; j < lanes; ++j) packed[j] = from[j * column_step];
        std::fill(packed + lanes, packed + kLanes, T{0});
      }
    }
  }
}

template <typename T>
void Packing::multiply(const Block& block, const T* packed, const T* a, int64_t a_step,
                       int64_t rows, T* y) const {
  const T* const b = packed + block.offset;
  if constexpr (std::is_same_v<T, float>) {
    if (has_avx512()) {
      tiles::dot_tile(rows, block.vectors,
                      {.a = a,
                       .a_step = a_step,
                       .a_segment = 0,
                       .segments = 1,
                       .k = k_,
                       .b = b,
                       .b_segment = 0,
                       .bias = nullptr,
                       .relu = false,
                       .y = y,
                       .y_step = kMostColumns,
                       .columns = block.vectors * kLanes});
      return;
    }
  }
  plain_multiply(block, k_, b, a, a_step, rows, y);
}

template void Packing::pack(const float*, int64_t, int64_t, float*) const;
template void Packing::pack(const double*, int64_t, int64_t, double*) const;
template void Packing::multiply(const Block&, const float*, const float*, int64_t, int64_t,
                                float*) const;
template void Packing::multiply(const Block&, const double*, const double*, int64_t, int64_t,
                                double*) const;

}  // namespace trireme::recurrent
