// Reductions over the GPUs of one process. Private to this folder.
//
// The plan issues the calls of all ranks one right after the other; the last of them enqueues the
// work of all. Ranks on one card (virtual GPUs) are added by one kernel there; the first of each
// card goes on with NCCL, if there are several cards, and the sum is spread on the card again.
#pragma once

#include <memory>
#include <vector>

#include "core/device/cuda/cuda_device.h"
#include "distributed/collective/nccl/device_collective.h"
#include "distributed/collective/nccl/nccl_comm.h"

namespace trireme {

// What the ranks of the process share. Used by the thread that issues; stop() by any.
class MirroredGroup {
 public:
  MirroredGroup(std::span<Device* const> devices, std::chrono::milliseconds timeout);
  ~MirroredGroup();

  std::string description() const;
  void add(int rank, const DeviceReduction& what, cuda::CudaStream& stream);
  std::optional<Error> poll() const;
  void stop() noexcept;

 private:
  struct Call {
    DeviceReduction what;
    cuda::CudaStream* stream = nullptr;
  };
  void enqueue_all();
  // Makes `first` go on only when what was enqueued on `others` is done, and the other way round.
  void gather_streams(const std::vector<int>& ranks);
  void release_streams(const std::vector<int>& ranks);
  void reduce_between_cards(const DeviceReduction& what);
  void tree_between_cards();

  const std::vector<Device*> devices_;
  std::vector<std::vector<int>> cards_;                   // the ranks of each, in order
  std::vector<std::unique_ptr<cuda::CudaEvent>> events_;  // by rank
  std::vector<std::unique_ptr<NcclComm>> comms_;          // by card; none when there is one
  std::vector<std::shared_ptr<Buffer>> gathered_;         // by card, for sums along the tree
  std::vector<Call> calls_;                               // by rank
  size_t called_ = 0;
};

class MirroredCollective final : public DeviceCollective {
 public:
  MirroredCollective(std::shared_ptr<MirroredGroup> group, int rank,
                     std::chrono::milliseconds timeout)
      : DeviceCollective(timeout), group_(std::move(group)), rank_(rank) {}

  std::string description() const override { return group_->description(); }
  void all_reduce(const DeviceReduction& what, Stream& stream) override {
    throw_if_aborted();
    group_->add(rank_, what, static_cast<cuda::CudaStream&>(stream));
  }

 protected:
  std::optional<Error> poll() override { return group_->poll(); }
  void stop() noexcept override { group_->stop(); }

 private:
  const std::shared_ptr<MirroredGroup> group_;
  const int rank_;
};

}  // namespace trireme
