// Sorts row numbers: from the lowest digit of 8 bits, each pass keeping the order of those before
// (Knuth 1998, 5.2.5). A pass counts the digits of every tile, adds the counts up to where each
// tile's entries of each digit go, and moves them there.
#include "core/device/cuda/kernels/row_indices.cuh"

namespace trireme::cuda {

constexpr int kThreads = 256;
static_assert(kThreads == kSortDigits, "a thread a digit");

// The entries of one pass: in the first, straight from the data.
TRIREME_DEVICE uint32_t first_key(const RowIndices& indices, int64_t i, bool reports) {
  const int64_t row = index_at(indices, i);
  if (is_row(indices, row)) return static_cast<uint32_t>(row);
  if (reports) report_row(indices, i, row);
  return static_cast<uint32_t>(indices.rows);
}

TRIREME_DEVICE int digit_of(uint32_t key, int shift) {
  return static_cast<int>((key >> shift) % kSortDigits);
}

// Where this thread's entry goes, when the threads of the block bring one each: behind those of
// smaller digits, and of equal digits behind those of threads before. `bases`: where the next of
// each digit goes, which is moved on. A digit of −1: no entry.
TRIREME_DEVICE uint32_t place(int digit, uint32_t* bases, uint32_t (*counts)[kSortDigits]) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  constexpr int kWarps = kThreads / 32;
  for (int w = 0; w < kWarps; ++w) counts[w][thread] = 0;
  // The lanes of this warp that have the same digit.
  unsigned same = __ballot_sync(0xffffffffu, digit >= 0);
  for (int bit = 0; bit < 8; ++bit) {
    const unsigned set = __ballot_sync(0xffffffffu, (digit >> bit) & 1);
    same &= (digit >> bit) & 1 ? set : ~set;
  }
  const unsigned before = same & ((1u << lane) - 1u);
  __syncthreads();
  if (digit >= 0 && before == 0) counts[warp][digit] = static_cast<uint32_t>(__popc(same));
  __syncthreads();
  uint32_t next = bases[thread];
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t count = counts[w][thread];
    counts[w][thread] = next;
    next += count;
  }
  bases[thread] = next;
  __syncthreads();
  const uint32_t at = digit < 0 ? 0 : counts[warp][digit] + static_cast<uint32_t>(__popc(before));
  __syncthreads();
  return at;
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

// counts: [tiles, kSortDigits]. A block a tile. `keys`: null in the first pass.
TRIREME_KERNEL(sort_rows_count,
               (const RowIndices indices, const uint32_t* keys, uint32_t* counts, int shift)) {
  __shared__ uint32_t found[kSortDigits];
  found[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * kSortTile;
  for (int64_t i = begin + threadIdx.x; i < begin + kSortTile && i < indices.count; i += kThreads) {
    const uint32_t key = keys == nullptr ? first_key(indices, i, true) : keys[i];
    atomicAdd(&found[digit_of(key, shift)], 1u);
  }
  __syncthreads();
  counts[blockIdx.x * kSortDigits + threadIdx.x] = found[threadIdx.x];
}

// Counts to where the first entry goes. One block.
TRIREME_KERNEL(sort_rows_offsets, (uint32_t * counts, int64_t tiles)) {
  __shared__ uint32_t totals[kSortDigits];
  uint32_t total = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) total += counts[tile * kSortDigits + threadIdx.x];
  totals[threadIdx.x] = total;
  __syncthreads();
  uint32_t next = 0;
  for (unsigned digit = 0; digit < threadIdx.x; ++digit) next += totals[digit];
  for (int64_t tile = 0; tile < tiles; ++tile) {
    uint32_t& count = counts[tile * kSortDigits + threadIdx.x];
    const uint32_t here = count;
    count = next;
    next += here;
  }
}

TRIREME_KERNEL(sort_rows_move,
               (const RowIndices indices, const uint32_t* keys, const uint32_t* positions,
                uint32_t* new_keys, uint32_t* new_positions, const uint32_t* offsets, int shift)) {
  __shared__ uint32_t bases[kSortDigits];
  __shared__ uint32_t counts[kThreads / 32][kSortDigits];
  bases[threadIdx.x] = offsets[blockIdx.x * kSortDigits + threadIdx.x];
  const int64_t begin = blockIdx.x * kSortTile;
  for (int64_t round = begin; round < begin + kSortTile && round < indices.count;
       round += kThreads) {
    const int64_t i = round + threadIdx.x;
    const bool has_entry = i < indices.count;
    uint32_t key = 0, position = 0;
    if (has_entry) {
      key = keys == nullptr ? first_key(indices, i, false) : keys[i];
      position = keys == nullptr ? static_cast<uint32_t>(i) : positions[i];
    }
    const uint32_t to = place(has_entry ? digit_of(key, shift) : -1, bases, counts);
    if (has_entry) {
      new_keys[to] = key;
      new_positions[to] = position;
    }
  }
}
