// The gRPC side of the directory: messages in, calls of the DirectoryState, messages out.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace trireme {

class DirectoryState;
class CoordinatorState;

// Both outlive it. `coordinator's state`: knows who may call.
std::unique_ptr<grpc::Service> make_directory_service(DirectoryState& board,
                                                      CoordinatorState& coordinator_state);

}  // namespace trireme
