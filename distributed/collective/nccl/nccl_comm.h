// One ncclComm_t: made with a deadline, aborted from any thread. Private to this folder.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/device/device.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/nccl/nccl_library.h"

namespace trireme {

ncclDataType_t nccl_type(DType dtype);
ncclRedOp_t nccl_op(ReduceOp op);

class NcclComm {
 public:
  // The ranks `first` … of `devices.size()` of a communicator of `size`, one for each device of
  // this process, made together. Throws when it has not come about by the deadline, or
  // `interrupted` says why it will not.
  static std::vector<std::unique_ptr<NcclComm>> make(
      const ncclUniqueId& id, int size, int first, std::span<Device* const> devices,
      std::chrono::milliseconds timeout,
      const std::function<std::optional<Error>()>& interrupted = nullptr);
  ~NcclComm() { abort(); }
  NcclComm(const NcclComm&) = delete;

  ncclComm_t raw() const { return comm_; }
  int size() const { return size_; }

  // Of a call that was made, or of what has gone wrong on the way. Communicators do not block: a
  // call may still be under way when it returns.
  std::optional<Error> error(const std::string& what) const;
  // Waits until a call that returned "in progress" is enqueued. Throws.
  void finish(ncclResult_t result, const std::string& what) const;
  // Ends what is under way on the GPU; from any thread.
  void abort() noexcept;

 private:
  NcclComm(ncclComm_t comm, int size, std::chrono::milliseconds timeout)
      : comm_(comm), size_(size), timeout_(timeout) {}

  const ncclComm_t comm_;
  const int size_;
  const std::chrono::milliseconds timeout_;
  std::atomic<bool> aborted_{false};
};

}  // namespace trireme
