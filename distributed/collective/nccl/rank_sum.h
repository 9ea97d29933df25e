// Adds what several ranks have on one card, by one kernel. Private to this folder.
#pragma once

#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/kernels/rank_sum.h"
#include "distributed/collective/nccl/device_collective.h"

namespace trireme {

struct RankPointers : cuda::RankPointers {
  // Throws Error{kInvalidArgument} beyond kMostRanks.
  void add(void* address);
};

// Each of `to` becomes the reduction of all of `from`, along the binary tree over ranks; `to` may
// be among `from`. The addresses are of the stream's card.
void rank_sum(const RankPointers& from, const RankPointers& to, const DeviceReduction& what,
              cuda::CudaStream& stream);

}  // namespace trireme
