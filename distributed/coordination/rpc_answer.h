// What every call of a coordinator's service does: it makes a status of an Error.
#pragma once

#include <functional>
#include <optional>

namespace grpc {
class Status;
}  // namespace grpc

namespace trireme {

grpc::Status answer_rpc(const std::function<void()>& call);

}  // namespace trireme
