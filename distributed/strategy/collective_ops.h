// Collectives as graph nodes, and the communicators that their kernels use.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/nccl/device_collective.h"
#include "distributed/strategy/top_k.h"

namespace trireme {

class KernelTable;

// The communicators of this process, one for each of its devices that takes part, and what reduces
// the memory of its GPUs. Plans outlive generations: kernels ask here each time. set() is called
// between steps, by the thread that runs them.
class CommunicatorSlots {
 public:
  ~CommunicatorSlots() { set({}); }
  // `gpus` may use `communicators`.
  void set(std::vector<std::unique_ptr<Communicator>> communicators, DeviceCollectives gpus = {});
  Communicator& at(int device_rank) const;
  DeviceCollective& gpu(int device_rank) const;
  bool empty() const { return communicators_.empty(); }
  int64_t version() const { return version_; }  // changes with every set()
  // Ends what is under way, from any thread.
  void abort(const Error& cause);

  // What a bucket that sends its largest elements only remembers; made when it is not there.
  std::shared_ptr<TopKExchange> top_k(const std::string& label, int device_rank, int64_t count,
                                      double ratio);

  // For labels of stall reports.
  void set_step(int64_t step);
  int64_t step() const { return step_; }

 private:
  mutable Mutex mutex_;  // against abort() only
  std::vector<std::unique_ptr<Communicator>> communicators_;
  DeviceCollectives gpus_;
  int64_t version_ = 0;
  std::atomic<int64_t> step_{0};
  std::map<std::pair<std::string, int>, std::shared_ptr<TopKExchange>> top_k_;
};

// AllReduce: any number of tensors of one dtype, each replaced by its reduction over all ranks.
// Attributes: "reduction" ("sum", "min", "max"), "tree" (bool: equal bits for any number of ranks,
// see Summation), "label" (for messages), "collective" (nodes with the same are one collective, on
// several devices of a process), "device_rank" and "top_k" (the share of the elements that is sent;
// 0: all of them; else f32 and "sum"). Runs on the communication stream; its outputs
// lie side by side, so that a bucket of gradients is reduced in one piece and nothing is copied.
void register_collective_ops(OpTable& table);

// The ops of core and those above.
std::shared_ptr<const OpTable> distributed_op_table();

struct AllReduceOptions {
  std::string label;
  std::string collective;
  int device_rank = 0;
  bool tree = false;
  double top_k = 0;
};
// Sums. REQUIRES: at least one value; equal dtypes.
Node& all_reduce(Graph& graph, const std::vector<Value>& values, const AllReduceOptions& options);
// All of a graph.
std::vector<Node*> all_reduces(const Graph& graph);

// Adds the kernels, for devices with host memory and for GPUs. `slots` lives as long as they are
// used.
void register_collective_kernels(KernelTable& table, std::shared_ptr<CommunicatorSlots> slots);

}  // namespace trireme
