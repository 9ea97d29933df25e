// The parameters of kernels/rank_sum.cu, for the host and the card.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

inline constexpr int kMostRanks = 128;
struct RankPointers {
  int64_t count = 0;
  void* at[kMostRanks] = {};
};

}  // namespace trireme::cuda
