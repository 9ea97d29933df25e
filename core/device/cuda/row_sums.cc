#include "core/device/cuda/row_sums.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

constexpr int kDigitBits = std::bit_width(static_cast<unsigned>(kSortDigits)) - 1;

}  // namespace

RowIndices row_indices(const KernelSpec& spec, int input, int64_t rows) {
  CudaDevice& device = cuda_device(spec);
  const uint32_t site = device.fault_site(
      str_cat(spec.where(), ": index {value} at position {position} is not in [0, {limit})"));
  return {nullptr, spec.input_shape(input).elements(),
          rows,    device.fault(),
          site,    spec.inputs[static_cast<size_t>(input)].dtype == DType::kInt64};
}

RowSums::RowSums(const KernelSpec& spec, int input, int64_t rows, int64_t width, size_t sum_bytes)
    : device_(cuda_device(spec)),
      indices_(row_indices(spec, input, rows)),
      input_(input),
      width_(width) {
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  if (rows >= kMost || indices_.count >= kMost) {
    throw invalid_argument(spec.where(), ": expected fewer than ", kMost,
                           " rows on a GPU, found a table of ", rows, " and ", indices_.count,
                           " row numbers");
  }
  if (is_compared()) return;
  count_ = Kernel("sort_rows_count");
  offsets_ = Kernel("sort_rows_offsets");
  move_ = Kernel("sort_rows_move");
  // A key of `rows` marks what is out of range.
  const int bits = static_cast<int>(std::bit_width(static_cast<uint64_t>(rows)));
  passes_ = (bits + kDigitBits - 1) / kDigitBits;
  tiles_ = (indices_.count + kSortTile - 1) / kSortTile;
  entry_bytes_ = align_up(static_cast<size_t>(indices_.count) * sizeof(uint32_t));
  counts_at_ = 4 * entry_bytes_;
  runs_at_ = counts_at_ + align_up(static_cast<size_t>(tiles_ * kSortDigits) * sizeof(uint32_t));
  scratch_bytes_ = runs_at_ + static_cast<size_t>(indices_.count / kRun * width) * sum_bytes;
}

LaunchShape RowSums::compared_shape(int per_thread) const {
  const int64_t count = std::max<int64_t>(1, indices_.count);
  // Wide rows are cut until there are as many blocks as run at once.
  const int64_t tiles = (width_ + 32 * per_thread - 1) / (32 * per_thread);
  const int64_t cuts = std::clamp<int64_t>(8 * device_.processors() / count, 1, tiles);
  LaunchShape shape;
  shape.grid_x = static_cast<uint32_t>(count);
  shape.grid_y = static_cast<uint32_t>(cuts);
  return shape;
}

SortedRows RowSums::sort(const KernelArgs& args) const {
  CudaStream& stream = cuda_stream(args);
  char* const scratch = static_cast<char*>(args.scratch);
  const auto entries = [&](int i) {
    return reinterpret_cast<uint32_t*>(scratch + static_cast<size_t>(i) * entry_bytes_);
  };
  uint32_t* const counts = reinterpret_cast<uint32_t*>(scratch + counts_at_);
  LaunchShape tiles, one;
  tiles.grid_x = static_cast<uint32_t>(tiles_);
  const RowIndices rows = indices(args);
  const uint32_t *keys = nullptr, *positions = nullptr;
  for (int pass = 0; pass < passes_; ++pass) {
    const int shift = pass * kDigitBits;
    uint32_t *const to_keys = entries(pass % 2), *const to_positions = entries(2 + pass % 2);
    count_.launch(stream, tiles, rows, keys, counts, shift);
    offsets_.launch(stream, one, counts, tiles_);
    move_.launch(stream, tiles, rows, keys, positions, to_keys, to_positions, counts, shift);
    keys = to_keys;
    positions = to_positions;
  }
  return {keys, positions, indices_.count, indices_.rows};
}

LaunchShape RowSums::runs_shape(int per_thread) const {
  return spread(device_, indices_.count / kRun * width_, per_thread);
}
LaunchShape RowSums::sorted_shape(int per_thread) const {
  return spread(device_, indices_.count * width_, per_thread);
}

}  // namespace trireme::cuda
