// Element-wise reductions over host memory, and the one definition of the order of a tree sum.
//
// Pure functions, any thread. They are bound by memory: compiled for AVX2 besides the baseline,
// chosen at run time. f16 and bf16 are widened to f32, combined, and rounded to nearest even after
// each combination. Minimum and maximum are NaN as soon as one side is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.h"
#include "distributed/collective/communicator.h"

namespace trireme {

// Whether tensors of this type can be reduced: f32, f64, f16, bf16, i32, i64.
bool is_reducible(DType dtype);

// out[i] = a[i] op b[i]. kMean adds; divide_by() follows once at the end. `out` may be `a` or `b`
// themselves, but may not overlap them otherwise. Integers wrap around.
void combine(DType dtype, ReduceOp op, void* out, const void* a, const void* b, int64_t count);

// accumulator[i] = accumulator[i] op other[i]
inline void reduce_into(DType dtype, ReduceOp op, void* accumulator, const void* other,
                        int64_t count) {
  combine(dtype, op, accumulator, accumulator, other, count);
}

// Ends a mean: data[i] / ranks; integers truncate towards zero.
void divide_by(DType dtype, void* data, int64_t count, int ranks);

// The tree over ranks 0 … n-1, which every backend follows for Summation::kTree: a range of ranks
// is cut after the largest power of two that is smaller than it, and its value is left op right.
// Powers of two: ((0+1)+(2+3))+…; otherwise blocks of 2^k ranks that start at multiples of 2^k,
// the last ones cut short: ((0+1)+(2+3))+4. Equally: for distance 1, 2, 4, … the block of ranks
// [k·2d, k·2d+d) is combined with [k·2d+d, k·2d+2d) where that has any rank.
//
// out = the tree over `leaves`, which are in the order of ranks. `out` may be one of them. kMean
// adds and does not divide.
void combine_tree(DType dtype, ReduceOp op, void* out, std::span<const void* const> leaves,
                  int64_t count);

// How `count` elements are shared among ranks: block r is [r * stride, (r + 1) * stride), cut at
// `count`, so that the last ones may be short or empty.
struct Blocks {
  int64_t count = 0;
  int64_t stride = 0;

  int64_t begin(int rank) const { return std::min(count, stride * rank); }
  int64_t size(int rank) const { return begin(rank + 1) - begin(rank); }
};
// Nearly equal blocks that begin at multiples of 16 elements.
Blocks even_blocks(int64_t count, int ranks);
// The elements [begin, begin + count) of `data`.
inline TensorSpan part(TensorSpan data, int64_t begin, int64_t count) {
  return {static_cast<std::byte*>(data.data) + static_cast<size_t>(begin) * size_of(data.dtype),
          count, data.dtype};
}

}  // namespace trireme
