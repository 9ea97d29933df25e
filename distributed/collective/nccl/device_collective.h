// Reductions of memory on GPUs over all ranks, enqueued on the GPUs' streams.
//
// One object for each GPU of this process that is a rank; owned by the task, borrowed by the
// kernels of AllReduce on device kind "cuda". A call only enqueues; whether it went well, and
// whether it ends at all, is for settle() to say, which whoever issued a step calls before anything
// is changed by it.
//
// After the first fault the object is dead. A new generation gets a new one.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "core/device/device.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/make_communicator.h"

namespace trireme {

struct DeviceReduction {
  void* data = nullptr;  // on the device; reduced in place
  int64_t count = 0;
  DType dtype = DType::kFloat32;
  ReduceOp op = ReduceOp::kSum;
  Summation summation = Summation::kAny;
  // For messages; lives as long as the recording that the call may become part of.
  const std::string* label = nullptr;
};

class DeviceCollective {
 public:
  virtual ~DeviceCollective() = default;
  DeviceCollective(const DeviceCollective&) = delete;

  // "NCCL 2.28, 4 ranks"
  virtual std::string description() const = 0;

  // Enqueues, or records. The calls come from one thread, in the same order on every rank; those of
  // the ranks of one process that belong together come right after each other.
  virtual void all_reduce(const DeviceReduction& what, Stream& stream) = 0;

  // Waits until `stream` has come to the end of what was enqueued on it; `what` is for messages.
  // Throws Error{kUnavailable} when the library lost a peer, kDeadlineExceeded, and the cause of
  // abort().
  void settle(Stream& stream, const std::string& what);

  // From any thread: what is under way ends, settle() throws `cause`. The first cause stays.
  void abort(const Error& cause) EXCLUDES(mutex_);

  // For labels of stall reports.
  void set_step(int64_t step) { step_.store(step, std::memory_order_relaxed); }
  // Watched from now on; null: not.
  virtual void set_watch(std::shared_ptr<CollectiveWatch> watch) { watch_ = std::move(watch); }

 protected:
  explicit DeviceCollective(std::chrono::milliseconds timeout) : timeout_(timeout) {}

  // What the library knows of a failure while work is under way; called again and again.
  virtual std::optional<Error> poll() { return std::nullopt; }
  // Called by abort(), on its thread, once: makes what is under way on the GPU end.
  virtual void stop() noexcept {}

  std::chrono::milliseconds timeout() const { return timeout_; }
  int64_t step() const { return step_.load(std::memory_order_relaxed); }
  std::optional<Error> fault() const EXCLUDES(mutex_);
  void throw_if_aborted() const;

 private:
  const std::chrono::milliseconds timeout_;
  std::shared_ptr<CollectiveWatch> watch_;
  std::atomic<int64_t> step_{0};
  mutable Mutex mutex_;
  std::optional<Error> fault_ GUARDED_BY(mutex_);
};

using DeviceCollectives = std::vector<std::unique_ptr<DeviceCollective>>;

// For GPUs of one process (strategy mirrored), in the order of their ranks: NCCL between cards; the
// virtual GPUs of one card, which NCCL refuses, add on the card itself. REQUIRES: devices of
// make_cuda_devices(). Throws Error{kInvalidArgument} when NCCL is needed and is not there.
DeviceCollectives make_mirrored_collectives(std::span<Device* const> devices,
                                            std::chrono::milliseconds timeout);

// For the one GPU that this process has in a group of workers. `host` connects the same group and
// stays in use; all ranks call, with the same `backend`:
//   "nccl"                  NCCL between all ranks;
//   "nccl+grpc", "nccl+mpi" NCCL among the ranks of a host, `between` among their first ranks;
//   "auto"                  NCCL where each rank has a card to itself and NCCL is there, else
//   `host`; any other               `host`, through pinned memory.
// Throws Error{kInvalidArgument}, on all ranks alike, naming the rank that cannot do it and why.
struct WorkerCollectiveOptions {
  std::string backend = "auto";
  std::chrono::milliseconds timeout{60'000};
  CollectiveEndpoint* between = nullptr;  // of "nccl+…"; its address is the group's
  CommunicatorOptions connect;            // for `between`
};
std::unique_ptr<DeviceCollective> make_worker_collective(Device& device, Communicator& host,
                                                         const WorkerCollectiveOptions& options);

// What connects the hosts' memory when `backend` is for GPUs: "auto" for "nccl", "grpc" for
// "nccl+grpc"; the backend itself when it is not.
std::string host_backend_of(const std::string& backend);

}  // namespace trireme
