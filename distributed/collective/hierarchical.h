// A communicator made of two: one inside each host, one between the first ranks of the hosts.
//
// A tensor is reduced inside each host, then between the leaders, then broadcast inside. Tree sums
// keep their bits where the hosts' ranks nest in the tree (HostLayout); elsewhere they go through a
// third communicator, of all ranks over the outer transport.
//
// Waits: the part between hosts may take a moment longer than that inside, and the last part inside
// again, so that whoever waits for a leader hears from it which rank is at fault.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "distributed/collective/communicator.h"
#include "distributed/collective/host_layout.h"
#include "distributed/collective/make_communicator.h"

namespace trireme {

class HierarchicalCommunicator final : public Communicator {
 public:
  struct Parts {
    std::unique_ptr<Communicator> inner;  // null: this rank is alone on its host
    std::unique_ptr<Communicator> outer;  // null: not a leader, or only one host
    std::unique_ptr<Communicator> flat;   // null: the hosts nest in the tree
  };
  HierarchicalCommunicator(Group group, CommunicatorOptions options, Parts parts);
  ~HierarchicalCommunicator() override;

  std::string description() const override;

 protected:
  void do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) override;
  void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) override;
  void do_all_gather(TensorSpan in, TensorSpan out) override;
  void do_broadcast(TensorSpan data, int root) override;
  void do_barrier() override;
  void wake() override;

 private:
  // The phases of a call. Each gets this call's label and its own patience.
  template <typename Body>
  void inside(Body body);
  template <typename Body>
  void between(Body body);
  template <typename Body>
  void inside_at_last(Body body);
  void reduce_to_all(TensorSpan data, ReduceOp op, Summation summation);

  const HostLayout layout_;
  const Parts parts_;
  std::vector<std::byte> scratch_;
};

// Joins `inner`, for ranks that share a host, and `outer`, whose address it has.
std::unique_ptr<CollectiveEndpoint> make_hierarchical_endpoint(
    std::unique_ptr<CollectiveEndpoint> inner, std::unique_ptr<CollectiveEndpoint> outer);

}  // namespace trireme
