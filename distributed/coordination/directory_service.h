// The gRPC side of the directory: messages in, calls of the DirectoryBoard, messages out.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace trireme {

class DirectoryBoard;
class Switchboard;

// Both outlive it. `switchboard`: knows who may call.
std::unique_ptr<grpc::Service> make_directory_service(DirectoryBoard& board,
                                                      Switchboard& switchboard);

}  // namespace trireme
