#include "distributed/collective/nccl/nccl_comm.h"

#include <thread>

#include "core/device/cuda/cuda.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kNap = std::chrono::microseconds(100);

}  // namespace

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return ncclFloat16;
    case DType::kBFloat16:
      return ncclBfloat16;
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kInt32:
      return ncclInt32;
    case DType::kInt64:
      return ncclInt64;
    case DType::kUInt8:
      return ncclUint8;
    default:
      throw invalid_argument("NCCL does not reduce ", name(dtype));
  }
}

ncclRedOp_t nccl_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMean:
      return ncclAvg;
    case ReduceOp::kMin:
      return ncclMin;
    case ReduceOp::kMax:
      return ncclMax;
  }
  return ncclSum;
}

std::vector<std::unique_ptr<NcclComm>> NcclComm::make(
    const ncclUniqueId& id, int size, int first, std::span<Device* const> devices,
    std::chrono::milliseconds timeout, const std::function<std::optional<Error>()>& interrupted) {
  const Nccl& library = nccl();
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // a peer that never comes must not hang us
  std::vector<ncclComm_t> handles(devices.size(), nullptr);
  const std::string what =
      str_cat("connecting NCCL, rank ", first, " of ", size, " on ", devices[0]->name());
  const auto throw_if = [&](ncclResult_t result) {
    if (auto failure = nccl_error(result, nullptr, what)) throw Error(*failure);
  };
  // A communicator that does not block cannot wait for its peers inside a call, so the ranks of one
  // process need a group only to be made side by side.
  throw_if(library.ncclGroupStart());
  for (size_t i = 0; i < devices.size(); ++i) {
    make_cuda_current(*devices[i]);
    throw_if(library.ncclCommInitRankConfig(&handles[i], size, id, first + static_cast<int>(i),
                                            &config));
  }
  throw_if(library.ncclGroupEnd());
  std::vector<std::unique_ptr<NcclComm>> comms;
  for (ncclComm_t handle : handles) {
    comms.push_back(std::unique_ptr<NcclComm>(new NcclComm(handle, size, timeout)));
  }
  const auto deadline = Clock::now() + timeout;
  for (const auto& comm : comms) {
    for (ncclResult_t state = ncclInProgress; state == ncclInProgress;) {
      throw_if(library.ncclCommGetAsyncError(comm->raw(), &state));
      throw_if(state);
      if (state != ncclInProgress) break;
      if (interrupted) {
        if (auto cause = interrupted()) throw Error(*cause);
      }
      if (Clock::now() > deadline) {
        throw Error(ErrorCode::kDeadlineExceeded,
                    str_cat(what, ": not all ranks came within ",
                            std::chrono::duration_cast<std::chrono::seconds>(timeout).count(),
                            " s; NCCL_DEBUG=INFO tells how far each has got"));
      }
      std::this_thread::sleep_for(kNap);
    }
  }
  return comms;
}

std::optional<Error> NcclComm::error(const std::string& what) const {
  if (aborted_) return std::nullopt;  // whoever aborted knows why
  ncclResult_t state = ncclSuccess;
  if (auto failure = nccl_error(nccl().ncclCommGetAsyncError(comm_, &state), comm_, what)) {
    return failure;
  }
  return nccl_error(state, comm_, what);
}

void NcclComm::finish(ncclResult_t result, const std::string& what) const {
  const auto deadline = Clock::now() + timeout_;
  while (result == ncclInProgress && !aborted_) {
    if (auto failure = nccl_error(nccl().ncclCommGetAsyncError(comm_, &result), comm_, what)) {
      throw Error(*failure);
    }
    if (result == ncclInProgress && Clock::now() > deadline) {
      throw Error(ErrorCode::kDeadlineExceeded, what + ": NCCL could not begin in time");
    }
  }
  if (auto failure = nccl_error(result, comm_, what)) throw Error(*failure);
}

void NcclComm::abort() noexcept {
  if (!aborted_.exchange(true)) nccl().ncclCommAbort(comm_);
}

}  // namespace trireme
