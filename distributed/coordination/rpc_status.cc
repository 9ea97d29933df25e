#include "distributed/coordination/rpc_status.h"

#include <grpcpp/support/status.h>

#include <charconv>

#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

constexpr char kMark[] = "trireme:";
constexpr size_t kMessageLimit = 4096;

grpc::StatusCode status_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kDeadlineExceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case ErrorCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    default:
      return grpc::StatusCode::INTERNAL;
  }
}

}  // namespace

int to_number(ErrorCode code) { return static_cast<int>(code); }

ErrorCode to_code(int64_t number) {
  if (number < 0 || number > to_number(ErrorCode::kInternal)) return ErrorCode::kFailed;
  return static_cast<ErrorCode>(number);
}

grpc::Status to_status(const Error& error) {
  return {status_code(error.code()), clean(error.what(), kMessageLimit),
          kMark + std::to_string(to_number(error.code()))};
}

Error to_error(const grpc::Status& status, const std::string& address) {
  const std::string message = clean(status.error_message(), kMessageLimit);
  const std::string details = status.error_details();
  if (details.starts_with(kMark)) {
    int number = -1;
    std::from_chars(details.data() + sizeof(kMark) - 1, details.data() + details.size(), number);
    return {to_code(number), message};
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return {ErrorCode::kUnavailable,
            str_cat("the coordinator at ", address,
                    " does not answer: it is stopped, or cut off from this host")};
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return invalid_argument("the server at ", address, " is not a coordinator of this version");
  }
  return {ErrorCode::kUnavailable,
          str_cat("the coordinator at ", address, " is gone (", message, ")")};
}

}  // namespace trireme
