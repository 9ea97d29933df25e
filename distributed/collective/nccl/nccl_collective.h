// Reductions by NCCL, for one rank or for all ranks of a process. Private to this folder.
#pragma once

#include <memory>
#include <vector>

#include "core/device/cuda/cuda_device.h"
#include "distributed/collective/nccl/device_collective.h"
#include "distributed/collective/nccl/nccl_comm.h"

namespace trireme {

// One rank that is alone in its process.
class NcclCollective final : public DeviceCollective {
 public:
  NcclCollective(Device& device, std::unique_ptr<NcclComm> comm, std::chrono::milliseconds timeout)
      : DeviceCollective(timeout), device_(device), comm_(std::move(comm)) {}
  ~NcclCollective() override { comm_->abort(); }

  std::string description() const override;
  void all_reduce(const DeviceReduction& what, Stream& stream) override;

 protected:
  std::optional<Error> poll() override { return comm_->error(description()); }
  void stop() noexcept override { comm_->abort(); }

 private:
  void tree_sum(const DeviceReduction& what, cuda::CudaStream& stream);

  Device& device_;
  const std::unique_ptr<NcclComm> comm_;
  // What all ranks have, for sums along the tree. Grown by the first steps, which are not recorded.
  std::shared_ptr<Buffer> gathered_;
};

}  // namespace trireme
