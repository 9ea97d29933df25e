// Errors across an RPC: a status on the coordinator's side, an Error again on the task's.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/error.h"

namespace grpc {
class Status;
}

namespace trireme {

// Longer messages are refused on both sides.
inline constexpr int kMessageBytesLimit = 4 << 20;

grpc::Status to_status(const Error& error);
// REQUIRES: !status.ok(). What the coordinator said, or that it cannot be reached.
Error to_error(const grpc::Status& status, const std::string& address);

// For the wire: an ErrorCode as a number, and back; kFailed for a number that is none.
int to_number(ErrorCode code);
ErrorCode to_code(int64_t number);

}  // namespace trireme
