// Cuts what a library computes into pieces that take one thread each. Private to this folder.
//
// Such a call with several threads has one part a thread, and waits inside for all of them: a
// thread that loses its core for some milliseconds stops all. Of more and smaller pieces the others
// do what it has not begun. The cut depends on the shapes and compute_threads() only.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device/kernel_spec.h"

namespace trireme::pieces {

// Into how many equal pieces to cut a batch of `n` examples that takes `flop` operations: a
// multiple of compute_threads(); 1 where pieces would be too small or unequal.
//
// Large products of matrices are not cut: each piece would read one factor anew, which costs 4% for
// 128×2048 by 2048×2048 with two pieces a thread, and 7% with four.
int64_t count_for(int64_t n, int64_t flop);

struct Piece {
  PreparedKernel kernel;              // prepared for one thread
  std::vector<size_t> input_offsets;  // in bytes, of what it reads
  size_t output_offset;               // of its one output
};
PreparedKernel run_all(std::vector<Piece> pieces);

}  // namespace trireme::pieces
