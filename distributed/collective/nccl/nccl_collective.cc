#include "distributed/collective/nccl/nccl_collective.h"

#include "distributed/collective/nccl/rank_sum.h"

namespace trireme {

std::string NcclCollective::description() const {
  return str_cat("NCCL ", nccl_version(), ", ", comm_->size(), " ranks");
}

void NcclCollective::all_reduce(const DeviceReduction& what, Stream& stream) {
  throw_if_aborted();
  if (what.count == 0 || comm_->size() == 1) return;
  auto& cuda_stream = static_cast<cuda::CudaStream&>(stream);
  cuda_stream.device().make_current();
  if (what.summation == Summation::kTree && what.op == ReduceOp::kSum) {
    return tree_sum(what, cuda_stream);
  }
  comm_->finish(nccl().ncclAllReduce(what.data, what.data, static_cast<size_t>(what.count),
                                     nccl_type(what.dtype), nccl_op(what.op), comm_->raw(),
                                     cuda_stream.raw()),
                *what.label);
}

// NCCL's own sums depend on how many ranks there are and how they are wired. All get everything and
// add it in the one order, which costs ranks times the traffic: only deterministic jobs ask for it.
void NcclCollective::tree_sum(const DeviceReduction& what, cuda::CudaStream& stream) {
  const size_t bytes = static_cast<size_t>(what.count) * size_of(what.dtype);
  const size_t needed = bytes * static_cast<size_t>(comm_->size());
  if (!gathered_ || gathered_->bytes() < needed) gathered_ = device_.allocate(needed);
  comm_->finish(nccl().ncclAllGather(what.data, gathered_->data(), static_cast<size_t>(what.count),
                                     nccl_type(what.dtype), comm_->raw(), stream.raw()),
                *what.label);
  RankPointers from;
  for (int rank = 0; rank < comm_->size(); ++rank) {
    from.add(static_cast<char*>(gathered_->data()) + bytes * static_cast<size_t>(rank));
  }
  RankPointers to;
  to.add(what.data);
  rank_sum(from, to, what, stream);
}

}  // namespace trireme
