// What every call of a coordinator's service does first and last: it checks who calls, and makes a
// status of an Error.
#pragma once

#include <functional>

namespace grpc {
class ServerContext;
class Status;
}  // namespace grpc

namespace trireme {

class Switchboard;

grpc::Status answer_rpc(grpc::ServerContext* context, Switchboard& switchboard,
                        const std::function<void()>& call);

}  // namespace trireme
