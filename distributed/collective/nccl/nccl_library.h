// NCCL, opened when it is first used. Private to this folder; see core/device/cuda/libraries.h.
#pragma once

#include <nccl.h>

#include <optional>
#include <string>

#include "core/base/error.h"

namespace trireme {

#define TRIREME_NCCL_FUNCTIONS(X) \
  X(ncclGetVersion)               \
  X(ncclGetUniqueId)              \
  X(ncclCommInitRankConfig)       \
  X(ncclCommAbort)                \
  X(ncclCommGetAsyncError)        \
  X(ncclGetErrorString)           \
  X(ncclGetLastError)             \
  X(ncclGroupStart)               \
  X(ncclGroupEnd)                 \
  X(ncclAllReduce)                \
  X(ncclAllGather)                \
  X(ncclBroadcast)

struct Nccl {
#define TRIREME_NCCL_MEMBER(function) decltype(&::function) function = nullptr;
  TRIREME_NCCL_FUNCTIONS(TRIREME_NCCL_MEMBER)
#undef TRIREME_NCCL_MEMBER
};

// Throws Error{kInvalidArgument}: where it was looked for, what to install.
const Nccl& nccl();
// The same as one line; empty when NCCL is there.
std::string nccl_problem();
std::string nccl_version();  // "2.28"

// Of a result that is neither success nor "in progress"; `comm` may be null.
std::optional<Error> nccl_error(ncclResult_t result, ncclComm_t comm, const std::string& what);

}  // namespace trireme
