// Row numbers on their way to kernels, and what adds up the rows that repeat. Private to
// core/device/cuda.
//
// Made when a kernel is prepared. A row number that is out of range is told of by the stream's next
// synchronize(); nothing is read or written for it, but the rest of the op is done.
#pragma once

#include "core/device/cuda/kernel.h"
#include "core/device/cuda/kernels/row_indices.h"

namespace trireme::cuda {

// Input `input`, i32 or i64, valid in [0, rows). Its address is filled in at each run.
RowIndices row_indices(const KernelSpec& spec, int input, int64_t rows);
inline RowIndices at(RowIndices indices, const KernelArgs& args, int input) {
  indices.address = args.inputs[input];
  return indices;
}

// Few rows are added up by one kernel that compares their numbers; many are sorted first, which
// takes some launches and scratch memory.
class RowSums {
 public:
  // Rows of `width` numbers, whose sums are of `sum_bytes` each. Throws Error{kInvalidArgument} for
  // more rows than fit in 32 bits.
  RowSums(const KernelSpec& spec, int input, int64_t rows, int64_t width, size_t sum_bytes);

  bool is_compared() const { return indices_.count <= kComparedRows; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  int64_t width() const { return width_; }

  RowIndices indices(const KernelArgs& args) const { return at(indices_, args, input_); }
  // A block for each row, or more. REQUIRES: is_compared(), and rows that are not empty.
  LaunchShape compared_shape(int per_thread) const;

  // Enqueues the sort. REQUIRES: not is_compared().
  SortedRows sort(const KernelArgs& args) const;
  // Where the sums of runs go, and how many threads they take at `per_thread` numbers each.
  void* runs(const KernelArgs& args) const { return static_cast<char*>(args.scratch) + runs_at_; }
  LaunchShape runs_shape(int per_thread) const;
  LaunchShape sorted_shape(int per_thread) const;

 private:
  CudaDevice& device_;
  RowIndices indices_;
  int input_;
  int64_t width_, tiles_ = 0;
  int passes_ = 0;
  size_t entry_bytes_ = 0, counts_at_ = 0, runs_at_ = 0, scratch_bytes_ = 0;
  Kernel count_, offsets_, move_;
};

}  // namespace trireme::cuda
