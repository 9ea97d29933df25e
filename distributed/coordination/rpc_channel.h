// A task's way to the coordinator: the channel, and who it says it is.
#pragma once

#include <chrono>
#include <functional>
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

// Waits until the coordinator answers at `address`, whose host name may not be known yet, and says
// every few seconds on standard error what it waits for. `give_up` (null: never) is asked some
// times a second; false when it says so. Throws Error{kInvalidArgument} when the name does not
// resolve in time, kUnavailable when nobody answers.
bool wait_for_connection(grpc::Channel& channel, const std::string& address,
                         std::chrono::milliseconds timeout,
                         const std::function<bool()>& give_up = nullptr);

// The first half of it: until the host name of `address` resolves.
void wait_for_name(const std::string& address, std::chrono::milliseconds timeout);

// What to say when nobody was there for so long.
Error no_coordinator(const std::string& address, std::chrono::milliseconds waited);

}  // namespace trireme
