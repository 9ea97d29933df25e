// The gRPC side of the coordinator: messages in, calls of the CoordinatorState, messages out.
//
// On gRPC's callbacks: no call has a thread of its own, however long it lasts, so thousands of
// members cost their connections and nothing else.
#pragma once

#include <functional>
#include <memory>

#include "core/base/error.h"

namespace grpc {
class Service;
}

namespace trireme {

class DirectoryState;
class Launchers;
class CoordinatorState;

// All outlive it. `fail_job`: a task says that no restart mends what it lacks.
std::unique_ptr<grpc::Service> make_coordinator_service(CoordinatorState& coordinator_state,
                                                        DirectoryState& board, Launchers& launchers,
                                                        std::function<void(const Error&)> fail_job);

}  // namespace trireme
