// Private to this folder: a worker's line to the coordinator, as gRPC's callbacks see it.
#pragma once

namespace grpc {
class CallbackServerContext;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace trireme {

namespace coordination {
class Beat;
class Order;
}  // namespace coordination

class CoordinatorState;

// Lives until the call is over.
grpc::ServerBidiReactor<coordination::Beat, coordination::Order>* serve_member(
    grpc::CallbackServerContext& context, CoordinatorState& coordinator_state);

}  // namespace trireme
