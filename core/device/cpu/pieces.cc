#include "core/device/cpu/pieces.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/tensor/buffer.h"

namespace trireme::pieces {
namespace {

// About 0.1 ms: beginning a piece, and reading again what all of them read, costs far less.
constexpr int64_t kLeastFlop = 12'000'000;
constexpr int64_t kMostPerThread = 4;
constexpr size_t kMaxInputs = 4;

}  // namespace

int64_t count_for(int64_t n, int64_t flop) {
  const int64_t threads = compute_threads();
  if (threads == 1) return 1;
  for (int64_t each = kMostPerThread; each > 1; --each) {
    const int64_t count = each * threads;
    if (n % count == 0 && flop >= count * kLeastFlop) return count;
  }
  return 1;
}

PreparedKernel run_all(std::vector<Piece> pieces) {
  if (pieces.size() == 1) return std::move(pieces.front().kernel);
  size_t scratch = 0;
  for (const Piece& piece : pieces) {
    TRIREME_CHECK(piece.input_offsets.size() <= kMaxInputs);
    scratch = std::max(scratch, piece.kernel.scratch_bytes);
  }
  scratch = align_up(scratch);
  const auto all = std::make_shared<const std::vector<Piece>>(std::move(pieces));
  const auto count = static_cast<int64_t>(all->size());
  auto run = [all, count, scratch](const KernelArgs& args) {
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Piece& piece = (*all)[static_cast<size_t>(i)];
        std::array<void*, kMaxInputs> inputs{};
        for (size_t j = 0; j < piece.input_offsets.size(); ++j) {
          inputs[j] = static_cast<char*>(args.inputs[j]) + piece.input_offsets[j];
        }
        void* const output = static_cast<char*>(args.outputs[0]) + piece.output_offset;
        piece.kernel.run({inputs.data(), &output,
                          static_cast<char*>(args.scratch) + static_cast<size_t>(i) * scratch});
      }
    });
  };
  return {run, scratch * static_cast<size_t>(count)};
}

}  // namespace trireme::pieces
