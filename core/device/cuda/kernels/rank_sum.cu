// Reduces what several ranks have on one card, element by element, along the binary tree over ranks
// ((0+1)+(2+3))+…, as Summation::kTree of distributed/collective says.
#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/rank_sum.h"

using namespace trireme::cuda;

namespace {

// The values of trireme::ReduceOp.
enum { kSum, kMean, kMin, kMax };

template <typename C>
TRIREME_DEVICE C join(C a, C b, int32_t op) {
  if (op == kSum || op == kMean) return a + b;
  if (a != a || b != b) return a + b;  // not a number, as soon as one side is
  return (op == kMin) == (b < a) ? b : a;
}

template <typename T>
TRIREME_DEVICE void rank_sum(const RankPointers& from, const RankPointers& to, int64_t count,
                             int32_t op) {
  using C = Compute<T>;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    // Level by level: parts[k] is a whole subtree of 2^k ranks that waits for its sibling.
    C parts[8];
    for (int64_t rank = 0; rank < from.count; ++rank) {
      C value = to_compute(static_cast<const T*>(from.at[rank])[i]);
      int level = 0;
      for (int64_t bits = rank; bits & 1; bits >>= 1) {
        // What goes on is rounded to T, as a rank that has received it would have it.
        value = to_compute(from_compute<T>(join(parts[level], value, op)));
        ++level;
      }
      parts[level] = value;
    }
    // The subtrees that are left, the smallest last.
    C sum{};
    bool any = false;
    int level = 0;
    for (int64_t bits = from.count; bits; bits >>= 1, ++level) {
      if (!(bits & 1)) continue;
      sum = any ? to_compute(from_compute<T>(join(parts[level], sum, op))) : parts[level];
      any = true;
    }
    if (op == kMean) sum = sum / static_cast<C>(from.count);
    const T result = from_compute<T>(sum);
    for (int64_t k = 0; k < to.count; ++k) static_cast<T*>(to.at[k])[i] = result;
  }
}

}  // namespace

#define RANK_SUM(name, T)                                                                 \
  TRIREME_KERNEL(name, (RankPointers from, RankPointers to, int64_t count, int32_t op)) { \
    rank_sum<T>(from, to, count, op);                                                     \
  }
RANK_SUM(rank_sum_f32, float)
RANK_SUM(rank_sum_f64, double)
RANK_SUM(rank_sum_f16, Half)
RANK_SUM(rank_sum_bf16, BFloat16)
RANK_SUM(rank_sum_i32, int32_t)
RANK_SUM(rank_sum_i64, int64_t)
