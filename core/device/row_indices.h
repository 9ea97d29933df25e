// Row numbers that come from data: read as i32 or i64, and checked before they are used as
// addresses.
#pragma once

#include <string>

#include "core/base/error.h"
#include "core/device/kernel_spec.h"

namespace trireme {

class RowIndices {
 public:
  // REQUIRES: input `input` is i32 or i64. Indices are valid in [0, rows).
  RowIndices(const KernelSpec& spec, int input, int64_t rows)
      : input_(input),
        is_i64_(spec.inputs[static_cast<size_t>(input)].dtype == DType::kInt64),
        count_(spec.input_shape(input).elements()),
        rows_(rows),
        where_(spec.where()) {}

  int64_t count() const { return count_; }
  int64_t rows() const { return rows_; }

  int64_t unchecked(const KernelArgs& args, int64_t i) const {
    return is_i64_ ? args.in<int64_t>(input_)[i] : args.in<int32_t>(input_)[i];
  }
  // Throws invalid_argument naming node, position and value when it is out of range.
  int64_t at(const KernelArgs& args, int64_t i) const {
    const int64_t row = unchecked(args, i);
    if (row < 0 || row >= rows_) [[unlikely]] {
      throw invalid_argument(where_, ": index ", row, " at position ", i, " is not in [0, ", rows_,
                             ")");
    }
    return row;
  }

 private:
  int input_;
  bool is_i64_;
  int64_t count_, rows_;
  std::string where_;
};

}  // namespace trireme
