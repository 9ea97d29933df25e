// Reductions through pinned memory by a communicator of the hosts: any backend serves GPUs. Private
// to this folder.
//
// Down, reduced by a function that the stream calls, up again: the thread that issues does not
// wait, and the whole can be recorded.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "core/device/cuda/cuda_device.h"
#include "distributed/collective/nccl/device_collective.h"

namespace trireme {

class StagedCollective final : public DeviceCollective {
 public:
  // `host` outlives this object.
  StagedCollective(Device& device, Communicator& host, std::chrono::milliseconds timeout);
  ~StagedCollective() override;

  std::string description() const override;
  void all_reduce(const DeviceReduction& what, Stream& stream) override;
  // That of the hosts' communicator sees it all.
  void set_watch(std::shared_ptr<CollectiveWatch>) override {}

 protected:
  std::optional<Error> poll() override;
  void stop() noexcept override;

 private:
  // One reduction of a step: its label and size tell it from others. Lives as long as recordings
  // that call it.
  struct Stage {
    StagedCollective* owner;
    DeviceReduction what;
    std::shared_ptr<Buffer> pinned;
  };
  Stage& stage(const DeviceReduction& what);
  static void run(void* stage) noexcept;

  Device& device_;
  Communicator& host_;
  std::deque<Stage> stages_;
};

}  // namespace trireme
