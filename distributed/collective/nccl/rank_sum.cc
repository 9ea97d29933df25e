#include "distributed/collective/nccl/rank_sum.h"

#include "core/device/cuda/kernel.h"

namespace trireme {

void RankPointers::add(void* address) {
  if (count == cuda::kMostRanks) {
    throw invalid_argument("sums on one card: at most ", cuda::kMostRanks, " ranks");
  }
  at[count++] = address;
}

void rank_sum(const RankPointers& from, const RankPointers& to, const DeviceReduction& what,
              cuda::CudaStream& stream) {
  const cuda::Kernel kernel(cuda::kernel_name("rank_sum", what.dtype));
  const cuda::RankPointers& sources = from;
  const cuda::RankPointers& targets = to;
  kernel.launch(stream, cuda::spread(stream.device(), what.count), sources, targets, what.count,
                static_cast<int32_t>(what.op));
}

}  // namespace trireme
