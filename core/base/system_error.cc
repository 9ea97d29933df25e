#include "core/base/system_error.h"

#include <cerrno>

namespace trireme {

ErrorCode code_of_errno(int number) {
  switch (number) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kResourceExhausted;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kFailed;
  }
}

}  // namespace trireme
