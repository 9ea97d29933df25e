// Matrix products in bf16 with f32 sums, for processors with AVX512_BF16.
//
// The right factor is packed, block by block, where the tiles need it (bf16_tiles.h); the left one
// is read where it lies unless it is transposed or its rows have an odd length. Preparing and
// running as every kernel (kernel.h).
#pragma once

#include <cstdint>

#include "core/base/parallel.h"
#include "core/device/kernel_spec.h"
#include "core/tensor/dtype.h"

namespace trireme::bf16_matmul {

// y = a·b of one pair of matrices, all dense. a: [m, k] ([k, m] with transpose_a); b: [k, n] ([n,
// k] with transpose_b).
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  bool relu = false;
  int64_t threads = compute_threads();  // as when it was prepared
  // Whether this processor can, and it is worth packing.
  bool suits() const;
  size_t scratch_bytes() const;
};

struct Operands {
  const BFloat16 *a, *b;
  const BFloat16* bias = nullptr;  // [n]
  // Where the product goes, the first that is set.
  BFloat16* y = nullptr;
  float* wide_y = nullptr;
  float* updated_y = nullptr;  // y −= rate · product
  float rate = 0;
  void* scratch = nullptr;  // Product::scratch_bytes()
};

// REQUIRES: p.suits(); neither m, n nor k is 0.
void run(const Product& p, const Operands& operands);

}  // namespace trireme::bf16_matmul
