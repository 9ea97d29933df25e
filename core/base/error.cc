#include "core/base/error.h"

namespace trireme {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kDataLoss:
      return "data loss";
    case ErrorCode::kResourceExhausted:
      return "resource exhausted";
    case ErrorCode::kDeadlineExceeded:
      return "deadline exceeded";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kFailed:
      return "failed";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

Error Error::with_context(std::string_view context) const {
  return {code_, str_cat(context, ": ", what())};
}

int Error::exit_code() const {
  switch (code_) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kDataLoss:
      return 2;
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
      return 75;
    default:
      return 1;
  }
}

void throw_check_failure(const char* file, int line, const char* condition,
                         const std::string& message) {
  throw Error(ErrorCode::kInternal, str_cat(file, ":", line, ": check failed: ", condition,
                                            message.empty() ? "" : ": ", message));
}

}  // namespace trireme
