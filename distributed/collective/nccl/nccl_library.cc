#include "distributed/collective/nccl/nccl_library.h"

#include "core/device/cuda/shared_library.h"

namespace trireme {

const Nccl& nccl() {
  static const Nccl table = [] {
    const cuda::SharedLibrary library(
        {"libnccl.so.2", "NCCL 2", "install NCCL, or use a backend of the hosts (--backend grpc)"});
    Nccl functions;
#define TRIREME_NCCL_LOAD(function) library.load(functions.function, #function);
    TRIREME_NCCL_FUNCTIONS(TRIREME_NCCL_LOAD)
#undef TRIREME_NCCL_LOAD
    return functions;
  }();
  return table;
}

std::string nccl_problem() {
  try {
    nccl();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string nccl_version() {
  int code = 0;
  nccl().ncclGetVersion(&code);
  // 22809 is 2.28.9; before 2.9 it was written otherwise, and that is older than what we use.
  return str_cat(code / 10000, ".", code / 100 % 100);
}

std::optional<Error> nccl_error(ncclResult_t result, ncclComm_t comm, const std::string& what) {
  if (result == ncclSuccess || result == ncclInProgress) return std::nullopt;
  const char* last = nccl().ncclGetLastError(comm);
  // What a lost peer looks like; a restart may help.
  const bool peer = result == ncclRemoteError || result == ncclSystemError;
  return Error(peer ? ErrorCode::kUnavailable : ErrorCode::kFailed,
               str_cat(what, ": NCCL says \"", nccl().ncclGetErrorString(result), "\"",
                       last != nullptr && *last != '\0' ? str_cat(" (", last, ")") : ""));
}

}  // namespace trireme
