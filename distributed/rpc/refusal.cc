#include "distributed/rpc/refusal.h"

#include <grpcpp/support/status.h>

#include <algorithm>

namespace trireme {
namespace {

constexpr size_t kMostText = 300;

grpc::StatusCode code_of(const Error& why) {
  switch (why.code()) {
    case ErrorCode::kInvalidArgument:
      return grpc::StatusCode::UNAUTHENTICATED;
    case ErrorCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kNotFound:
      return grpc::StatusCode::UNIMPLEMENTED;
    default:
      return grpc::StatusCode::FAILED_PRECONDITION;
  }
}

ErrorCode code_of(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED:
      return ErrorCode::kInvalidArgument;
    case grpc::StatusCode::UNIMPLEMENTED:
      return ErrorCode::kNotFound;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return ErrorCode::kFailed;
    default:
      return ErrorCode::kUnavailable;
  }
}

}  // namespace

grpc::Status refusal_status(const Error& why) { return {code_of(why), why.what()}; }

Error error_of(const grpc::Status& status) {
  return {code_of(status), printable(status.error_message(), kMostText)};
}

std::string printable(std::string_view text, size_t most) {
  std::string result(text.substr(0, most));
  std::ranges::replace_if(
      result, [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

}  // namespace trireme
