// A communicator over any Transport: chooses the algorithm by size and number of ranks, and ends a
// fault's message with the call that it interrupted.
//
// Small tensors go by recursive doubling, large ones around a ring; Summation::kTree never by the
// ring, whose order of adding depends on the block. In groups of more than kMeshRanks no rank talks
// to more than 2·ceil(log2 n) others (doubling.h), and a ring, which takes n-1 steps, is chosen
// only where each step moves much. Owns the transport; threads as Communicator.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "distributed/collective/algorithms.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/transport.h"

namespace trireme {

class TransportCommunicator final : public Communicator {
 public:
  TransportCommunicator(Group group, CommunicatorOptions options,
                        std::unique_ptr<Transport> transport);
  ~TransportCommunicator() override;

  std::string description() const override;

 protected:
  void do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) override;
  void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) override;
  void do_all_gather(TensorSpan in, TensorSpan out) override;
  void do_broadcast(TensorSpan data, int root) override;
  void do_barrier() override;
  void wake() override;

 private:
  template <typename Body>
  void run_call(Body body);
  void reduce_large(const TransportCall& call, TensorSpan data, ReduceOp op, Summation summation);

  std::vector<std::byte> scratch_;
  std::vector<std::byte> copy_;  // of what may not be changed
  const std::unique_ptr<Transport> transport_;
};

}  // namespace trireme
