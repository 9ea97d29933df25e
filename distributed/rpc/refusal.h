// Why a call was refused, or ended: an Error at the one end, a status of gRPC between, an Error
// again at the other.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace grpc {
class Status;
}

namespace trireme {

grpc::Status refusal_status(const Error& why);

// kInvalidArgument, kNotFound and kFailed (any other reason), as refusal_status() makes them;
// kUnavailable when the connection broke or the peer cannot take the call now. The text is what the
// peer says, which may be nothing.
Error error_of(const grpc::Status& status);

// Printable ASCII of at most `most` characters, the rest replaced by '?': text of a peer, for one
// line of a log.
std::string printable(std::string_view text, size_t most);

}  // namespace trireme
