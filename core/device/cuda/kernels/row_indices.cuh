// Row numbers that come from data: read as i32 or i64, and checked before they are used.
#pragma once

#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/row_indices.h"

namespace trireme::cuda {

TRIREME_DEVICE int64_t index_at(const RowIndices& indices, int64_t i) {
  return indices.is_i64 ? static_cast<const int64_t*>(indices.address)[i]
                        : static_cast<const int32_t*>(indices.address)[i];
}
TRIREME_DEVICE bool is_row(const RowIndices& indices, int64_t row) {
  return row >= 0 && row < indices.rows;
}
TRIREME_DEVICE void report_row(const RowIndices& indices, int64_t i, int64_t row) {
  report_fault(static_cast<DeviceFault*>(indices.fault), indices.site, i, row, indices.rows);
}

// a/b for numbers that are not negative, quick where they have 32 bits.
TRIREME_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

}  // namespace trireme::cuda
