// A communicator for the processes of one host, over shared memory.
//
// Small tensors: each rank puts its own into its slot and reduces all of them, one exchange. Large
// ones pass in chunks that stay in the caches, each rank reducing one block of a chunk; while a
// chunk is reduced the next one is put into the other slot. Sums always follow the tree.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "distributed/collective/board_communicator.h"
#include "distributed/collective/reduce.h"
#include "distributed/collective/shm_segment.h"

namespace trireme {

class ShmCommunicator final : public BoardCommunicator {
 public:
  ShmCommunicator(Group group, CommunicatorOptions options, std::unique_ptr<ShmSegment> segment);
  ~ShmCommunicator() override;

  std::string description() const override;

 protected:
  void do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) override;
  void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) override;
  void do_all_gather(TensorSpan in, TensorSpan out) override;
  void do_broadcast(TensorSpan data, int root) override;
  void do_barrier() override;
  bool is_gone(int rank) const override { return segment_->is_gone(rank); }

 private:
  // What is done to one chunk, in this order and never to two at the same parity: the rank puts its
  // part into its input slot; when all have, it takes what it needs; and, if there is anything to
  // collect, when all have taken theirs, it collects their results.
  template <typename Put, typename Take, typename Collect>
  void pass_chunks(int64_t chunks, bool collects, Put put, Take take, Collect collect);
  void flat_all_reduce(TensorSpan data, ReduceOp op);
  // Reduces the leaves into `out` and, in the same pass, into `copy` where that is not null.
  void reduce_leaves(TensorSpan out, ReduceOp op, std::byte* copy);

  const std::unique_ptr<ShmSegment> segment_;
  std::vector<const void*> leaves_;
  std::vector<const void*> shifted_;
  int64_t chunks_ = 0;  // passed so far: gives the parity
};

}  // namespace trireme
