// A task's way to the coordinator: the channel, and who it says it is.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/base/error.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace trireme {

// gRPC ends the program over a byte that metadata cannot have: this throws
// Error{kInvalidArgument} first. `what`: "secret".
void check_credential(const char* what, const std::string& text);

// With a connection of its own, which ends with the channel. The coordinator may come later.
std::shared_ptr<grpc::Channel> make_channel(const std::string& address);
void add_credentials(grpc::ClientContext& context, const std::string& secret,
                     const std::string& job_id);

// What to say when nobody was there for so long.
Error no_coordinator(const std::string& address, std::chrono::milliseconds waited);

}  // namespace trireme
